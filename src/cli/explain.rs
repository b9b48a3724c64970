//! `ringlink explain`: how a name comes to its replicas, and a request to its name.
//!
//! It does what a shard does, with the same code, on one name or one request, and tells every step:
//! the head is read as from a connection, the identifiers are tried in turn, the table's tree is
//! printed as [`naming::explain`](crate::naming::explain) makes it. Namers that know their answer
//! without asking around (files, written-out names, rewriting) give it; no host is looked up.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use crate::config::resolved::{Action, Identifier, Router};
use crate::control::source::Source;
use crate::discovery::Namers;
use crate::http::RequestHead;
use crate::http::h1::{HeadReader, Limits, Progress};
use crate::naming::explain::explain;
use crate::naming::{Dtab, NameTree, Outcome, Path};
use crate::router::context;
use crate::router::identify::answer::write_target;
use crate::router::identify::routes::Table;
use crate::router::identify::{Identified, Identifiers};

/// The exit code of a name that leads nowhere, and of a request without one.
const NOWHERE: u8 = 1;
/// The exit code when there is nothing to tell about.
const WRONG: u8 = 2;

#[derive(clap::Args)]
pub struct Args {
    /// The table of names; with --config, entries that override the router's
    #[arg(long, required_unless_present = "config")]
    dtab: Option<String>,
    /// The configuration whose table and identifiers are meant; `-` reads standard input
    #[arg(long)]
    config: Option<String>,
    /// The router of the configuration, if it has several
    #[arg(long, requires = "config")]
    router: Option<String>,
    /// A request line, such as 'GET /x HTTP/1.1': tell how the request gets its name, too
    #[arg(long, conflicts_with = "name")]
    request: Option<String>,
    /// A header of the request, such as 'Host: web'; may be repeated
    #[arg(long, requires = "request")]
    header: Vec<String>,
    /// Print the tree as the JSON of linkerd's delegator
    #[arg(long)]
    json: bool,
    /// The name, such as /svc/web
    #[arg(required_unless_present = "request")]
    name: Option<String>,
}

/// What names are explained by.
struct Tables {
    identifiers: Vec<Identifier>,
    prefix: Path,
    dtab: Dtab,
    namers: Namers,
}

/// How a request was identified.
enum Found {
    Name(Path),
    /// Its route answers it.
    Answer,
    Nothing,
}

/// Explains, prints, and tells the exit code.
pub fn main(args: &Args) -> ExitCode {
    let mut text = String::new();
    let led = told(args, &mut text);
    let printed = std::io::stdout().write_all(text.as_bytes());
    match (led, printed) {
        (Ok(true), Ok(())) => ExitCode::SUCCESS,
        (Ok(false), Ok(())) => ExitCode::from(NOWHERE),
        (Err(error), _) => {
            eprintln!("ringlink: {error}");
            ExitCode::from(WRONG)
        }
        (_, Err(error)) => {
            eprintln!("ringlink: cannot print: {error}");
            ExitCode::from(WRONG)
        }
    }
}

/// Writes the explanation; false if it leads nowhere.
fn told(args: &Args, text: &mut String) -> Result<bool, String> {
    // Namers watch what they are asked for, so they want a runtime; nothing ever runs on it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let _inside = runtime.enter();
    let mut tables = tables(args)?;
    let name = match (&args.request, &args.name) {
        (Some(request), _) => {
            let mut head = head(request, &args.header)?;
            let mut local = Vec::new();
            let names = head.fields.names();
            context::take(&mut head.fields, names, &mut local);
            let local = String::from_utf8_lossy(&local);
            let local: Dtab = local
                .parse()
                .map_err(|error| format!("the request's dtab is none: {error}"))?;
            tables.dtab = tables.dtab.concat(&local);
            // The tree alone is JSON; what the request is called stands in it.
            let mut spoken = String::new();
            let found = identified(&tables, &head, &mut spoken);
            if !args.json {
                text.push_str(&spoken);
            }
            match found {
                Found::Name(name) => name,
                Found::Answer => return Ok(true),
                Found::Nothing => return Ok(false),
            }
        }
        (None, Some(name)) => name
            .parse()
            .map_err(|error| format!("{name} is not a name: {error}"))?,
        (None, None) => return Err("neither a name nor a --request".to_owned()),
    };
    let explained = explain(&tables.dtab, &name, |path| tables.namers.now(path));
    let written = match args.json {
        true => writeln!(text, "{:#}", explained.tree.to_json()),
        false => write!(text, "{explained}"),
    };
    written.map_err(|_| "the explanation cannot be written".to_owned())?;
    Ok(leads_somewhere(&explained.outcome))
}

fn leads_somewhere(outcome: &Outcome) -> bool {
    let mut leaves = 0;
    if let Outcome::Bound(tree @ (NameTree::Leaf(_) | NameTree::Union(_))) = outcome {
        tree.for_each_leaf(&mut |_| leaves += 1);
    }
    leaves > 0
}

fn tables(args: &Args) -> Result<Tables, String> {
    let text = args.dtab.as_deref().unwrap_or_default();
    let dtab: Dtab = text
        .parse()
        .map_err(|error| format!("--dtab is not a dtab: {error}"))?;
    let Some(file) = &args.config else {
        let header = "Host".to_owned();
        return Ok(Tables {
            identifiers: vec![Identifier::HeaderToken { header }],
            prefix: Path::of_segment(b"svc"),
            dtab,
            namers: Namers::default(),
        });
    };
    let config = super::load(&Source::named(file))?;
    let router = chosen(&config.routers, args.router.as_deref())?;
    Ok(Tables {
        identifiers: router.identifiers.clone(),
        prefix: router.dst_prefix.clone(),
        dtab: router.dtab.concat(&dtab),
        namers: Namers::of(&config.namers),
    })
}

fn chosen<'r>(routers: &'r [Router], label: Option<&str>) -> Result<&'r Router, String> {
    let labels: Vec<_> = routers.iter().map(|router| router.label.as_str()).collect();
    let labels = labels.join(", ");
    match (routers, label) {
        (routers, Some(label)) => {
            let router = routers.iter().find(|router| router.label == label);
            router.ok_or_else(|| format!("no router has the label {label}; there are: {labels}"))
        }
        ([router], None) => Ok(router),
        (_, None) => Err(format!(
            "there are several routers: --router says which of: {labels}"
        )),
    }
}

/// Reads a request as a server would.
fn head(line: &str, headers: &[String]) -> Result<RequestHead, String> {
    let mut text = line.trim().to_owned();
    if text.split(' ').count() == 2 {
        text.push_str(" HTTP/1.1");
    }
    let broken = |text: &str| text.contains(['\r', '\n']);
    if broken(&text) {
        return Err("--request is one line".to_owned());
    }
    for header in headers {
        if broken(header) || !header.contains(':') {
            return Err(format!(
                "--header {header:?} is not a header: write 'Name: value'"
            ));
        }
        text.push_str("\r\n");
        text.push_str(header);
    }
    text.push_str("\r\n\r\n");
    let mut head = RequestHead::new();
    let limits = Limits::default();
    match HeadReader::new().request(text.as_bytes(), &limits, &mut head) {
        Ok(Progress::Complete { .. }) => Ok(head),
        Ok(Progress::Partial) => Err("--request is not a whole request".to_owned()),
        Err(error) => Err(format!(
            "a server would refuse the request with {}: {error}",
            error.status()
        )),
    }
}

/// Tries the identifiers in turn, and tells of each.
fn identified(tables: &Tables, head: &RequestHead, text: &mut String) -> Found {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for identifier in &tables.identifiers {
        let mut head = head.clone();
        let mut name = Vec::new();
        let ways = Identifiers::new(std::slice::from_ref(identifier));
        let route = position(identifier, &head);
        let target = shown(head.target());
        text.push_str(identifier.kind());
        match ways.identify(&tables.prefix, &mut head, &mut name) {
            Ok(Identified::Named(_)) => {
                let name = Path::from_encoded(&name);
                text.push_str(&format!("{route}: {name}\n"));
                let rewritten = shown(head.target());
                if rewritten != target {
                    text.push_str(&format!("  {target} is rewritten to {rewritten}\n"));
                }
                return Found::Name(name);
            }
            Ok(Identified::Answer(of)) => {
                let answered = answered(&of.action, &head);
                text.push_str(&format!("{route}: {answered}\n"));
                return Found::Answer;
            }
            Err(refusal) => {
                let why = refusal.text.rsplit_once("no name: ");
                let why = why.map_or(&*refusal.text, |(_, why)| why);
                text.push_str(&format!(": {why}\n"));
            }
        }
    }
    text.push_str("result: 400 unidentified\n");
    Found::Nothing
}

/// Which route of a table it is.
fn position(identifier: &Identifier, head: &RequestHead) -> String {
    let Identifier::Routes { routes } = identifier else {
        return String::new();
    };
    let position = Table::new(routes).position(head);
    position.map_or_else(String::new, |at| format!(" (routes[{at}])"))
}

fn answered(action: &Action, head: &RequestHead) -> String {
    match action {
        Action::Redirect { to, status } => {
            let mut location = Vec::new();
            write_target(to, head, &mut location);
            format!(
                "redirected with {status} to {}",
                String::from_utf8_lossy(&location)
            )
        }
        Action::Respond(fixed) => {
            let (status, length) = (fixed.status, fixed.body.len());
            format!("answered with {status} and {length} bytes")
        }
        Action::Name { name, .. } => name.to_string(),
    }
}
