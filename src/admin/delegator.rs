//! `/delegator.json`: where a name leads, and why, by a running router's table.
//!
//! The answer is linkerd's tree (its dashboard and other tools read it), made by the same
//! [`explain`] as `ringlink explain`. Entries that the question brings are laid over the router's
//! table, as those of a request are: so one can try an entry before it is rolled out, and a tool
//! that sends the router's whole table back with its question gets the answer it expects.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::config::resolved::{Config, Router};
use crate::discovery::Namers;
use crate::naming::explain::explain;
use crate::naming::{Dtab, Path};

use super::{Admin, PATIENCE};

/// A question.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Asked {
    /// The name, such as `/svc/web`.
    path: Option<String>,
    /// Entries over those of the router.
    dtab: Option<String>,
    /// The router's label; not needed where there is only one.
    namespace: Option<String>,
}

/// Why there is no answer.
type Refused = (StatusCode, String);

pub async fn get(
    State(admin): State<Admin>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    respond(&admin, asked.map(|Query(asked)| asked)).await
}

pub async fn post(
    State(admin): State<Admin>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    respond(&admin, asked.map(|Json(asked)| asked)).await
}

async fn respond(admin: &Admin, asked: Result<Asked, impl IntoResponse>) -> Response {
    let asked = match asked {
        Ok(asked) => asked,
        Err(rejection) => return rejection.into_response(),
    };
    let Some(namers) = admin.running.namers(PATIENCE).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match answer(&admin.running.generation().config, &namers, &asked) {
        Ok(tree) => Json(tree).into_response(),
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    }
}

fn answer(config: &Config, namers: &Namers, asked: &Asked) -> Result<Value, Refused> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let router = router(&config.routers, asked.namespace.as_deref())?;
    let Some(path) = &asked.path else {
        return Err(bad("`path` is missing: the name to explain".to_owned()));
    };
    let name: Path = path
        .parse()
        .map_err(|error| bad(format!("`path` is not a name: {error}")))?;
    let over: Dtab = asked
        .dtab
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|error| bad(format!("`dtab` is not a dtab: {error}")))?;
    let explained = explain(&router.dtab.concat(&over), &name, |path| namers.now(path));
    Ok(explained.tree.to_json())
}

fn router<'r>(routers: &'r [Router], label: Option<&str>) -> Result<&'r Router, Refused> {
    let labels = || {
        let labels: Vec<_> = routers.iter().map(|router| router.label.as_str()).collect();
        labels.join(", ")
    };
    let Some(label) = label else {
        return match routers {
            [only] => Ok(only),
            _ => {
                let why = format!("`namespace` is missing: one of {}", labels());
                Err((StatusCode::BAD_REQUEST, why))
            }
        };
    };
    let found = routers.iter().find(|router| router.label == label);
    found.ok_or_else(|| {
        let why = format!("there is no router `{label}`; there is {}", labels());
        (StatusCode::NOT_FOUND, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn asked(path: &str, dtab: Option<&str>, namespace: Option<&str>) -> Asked {
        Asked {
            path: Some(path.to_owned()),
            dtab: dtab.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
        }
    }

    fn one() -> Config {
        let text = "routers: [{protocol: http, label: web, servers: [{port: 0}], \
                    dtab: '/svc => /$/inet/10.0.0.1/80'}]";
        config::load(text).unwrap()
    }

    #[test]
    fn the_router_s_table_explains() {
        let tree = answer(&one(), &Namers::default(), &asked("/svc", None, None)).unwrap();
        assert_eq!(tree["type"], "delegate");
        assert_eq!(tree["path"], "/svc");
        let leaf = &tree["delegate"];
        assert_eq!(leaf["type"], "leaf");
        assert_eq!(leaf["dentry"]["prefix"], "/svc");
        assert_eq!(leaf["bound"]["addr"]["addrs"][0]["ip"], "10.0.0.1");
    }

    #[test]
    fn entries_of_the_question_come_first() {
        let over = Some("/svc => /$/inet/10.0.0.2/80");
        let tree = answer(
            &one(),
            &Namers::default(),
            &asked("/svc", over, Some("web")),
        )
        .unwrap();
        assert_eq!(tree["type"], "alt");
        let ip = |branch: usize| &tree["alt"][branch]["bound"]["addr"]["addrs"][0]["ip"];
        assert_eq!(ip(0), "10.0.0.2");
        assert_eq!(ip(1), "10.0.0.1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |asked: &Asked| answer(&one(), &Namers::default(), asked).unwrap_err();
        let (status, why) = refused(&Asked::default());
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(why.contains("`path` is missing"), "{why}");
        let (status, why) = refused(&asked("svc", None, None));
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(why.contains("`path` is not a name"), "{why}");
        let (status, why) = refused(&asked("/svc", Some("/a =>"), None));
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(why.contains("`dtab` is not a dtab"), "{why}");
        let (status, why) = refused(&asked("/svc", None, Some("else")));
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(why.contains("there is web"), "{why}");
    }

    #[test]
    fn several_routers_have_to_be_told_apart() {
        let text = "routers: [{protocol: http, label: a, servers: [{port: 0}]}, \
                    {protocol: http, label: b, servers: [{port: 0}], dtab: '/x => !'}]";
        let config = config::load(text).unwrap();
        let (status, why) =
            answer(&config, &Namers::default(), &asked("/x", None, None)).unwrap_err();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(why.contains("one of a, b"), "{why}");
        let tree = answer(&config, &Namers::default(), &asked("/x", None, Some("b"))).unwrap();
        assert_eq!(tree["delegate"]["type"], "fail");
    }
}
