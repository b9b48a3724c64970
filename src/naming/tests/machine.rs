//! Delegations whose namers answer, later, or never.

use super::{bound, dtab, path, tree};
use crate::naming::{
    Addr, Answer, BindError, Bound, Delegation, Inet, NameTree, Named, Outcome, Step,
};

/// Answers every question by `namer` and returns what was asked and the outcome as text.
fn run(table: &str, name: &str, namer: impl Fn(&str) -> Answer) -> (Vec<String>, String) {
    let mut delegation = Delegation::new(&dtab(table), &path(name));
    let mut asked = Vec::new();
    loop {
        match delegation.step() {
            Step::Ask(path) => {
                asked.push(path.to_string());
                delegation.answer(namer(&path.to_string()));
            }
            Step::Done(outcome) => {
                assert_eq!(
                    delegation.step(),
                    Step::Done(outcome.clone()),
                    "the end is the end"
                );
                return (asked, show(outcome));
            }
        }
    }
}

fn show(outcome: Outcome) -> String {
    match outcome {
        Outcome::Bound(tree) => tree.map(|bound| bound.id).to_string(),
        Outcome::Pending => "pending".to_owned(),
        Outcome::Failed(error) => format!("error: {error}"),
    }
}

/// `/#/up/x` is bound to itself, `/#/to/x` stands for `/x`, `/#/late` is pending, `/#/none` is
/// negative, `/#/down` fails.
fn registry(asked: &str) -> Answer {
    let path = path(asked);
    match path.get(1) {
        Some(b"up") => {
            let addr = Addr::Inet(Inet {
                host: "h".to_owned(),
                port: 1,
            });
            let id = path.take(3);
            let bound = Bound {
                id,
                addr,
                residual: path.skip(3),
            };
            Answer::Tree(NameTree::Leaf(Named::Bound(bound)))
        }
        Some(b"to") => Answer::Tree(NameTree::Leaf(Named::Path(path.skip(2)))),
        Some(b"either") => Answer::Tree(tree("/#/none | /#/up/2").map(Named::Path)),
        Some(b"late") => Answer::Pending,
        Some(b"none") => Answer::Tree(NameTree::Neg),
        _ => Answer::Failed(BindError::Namer {
            path,
            message: "down".to_owned(),
        }),
    }
}

#[test]
fn answers_decide() {
    let cases = [
        ("/a=>/#/up", "/a/x/y", "/#/up/x"),
        ("/a=>/#/to;/b=>/#/up/1", "/a/b", "/#/up/1"),
        ("/a=>/#/either", "/a", "/#/up/2"),
        ("/a=>/#/none | /#/up/1", "/a", "/#/up/1"),
        ("/a=>/#/none", "/a", "~"),
        // An Alt waits for its branch, and stops at an error.
        ("/a=>/#/late | /#/up/1", "/a", "pending"),
        ("/a=>/#/none | /#/late", "/a", "pending"),
        ("/a=>/#/up/1 | /#/late", "/a", "/#/up/1"),
        ("/a=>/#/down | /#/up/1", "/a", "error: /#/down: down"),
        // A Union goes on with what it has.
        ("/a=>/#/late & /#/up/1", "/a", "/#/up/1"),
        ("/a=>/#/down & /#/up/1", "/a", "/#/up/1"),
        ("/a=>/#/late & /#/none", "/a", "~"),
        ("/a=>/#/late & /#/late", "/a", "pending"),
        ("/a=>/#/late & /#/down", "/a", "error: /#/down: down"),
        (
            "/a=>2*/#/up/1 & /#/late & 3*/#/up/2",
            "/a",
            "2.00 * /#/up/1 & 3.00 * /#/up/2",
        ),
        ("/a=>(/#/late & /#/late) | /#/up/1", "/a", "pending"),
        (
            "/a=>/$/com.twitter.serverset/x | /#/up/1",
            "/a",
            "error: /$/com.twitter.serverset/x: down",
        ),
    ];
    for (table, name, expected) in cases {
        assert_eq!(run(table, name, registry).1, expected, "{name} by {table}");
    }
}

#[test]
fn only_what_matters_is_asked_in_order() {
    let asked = |table| run(table, "/a", registry).0;
    assert_eq!(
        asked("/a=>/#/none | /#/up/1 | /#/up/2"),
        ["/#/none", "/#/up/1"]
    );
    assert_eq!(asked("/a=>/#/up/1 & /#/up/2"), ["/#/up/1", "/#/up/2"]);
    assert_eq!(asked("/a=>! | /#/up/1"), [""; 0]);
    assert_eq!(asked("/a=>/#/either"), ["/#/either", "/#/none", "/#/up/2"]);
}

#[test]
fn a_question_stands_until_it_is_answered() {
    let mut delegation = Delegation::new(&dtab("/a=>/#/x"), &path("/a"));
    delegation.answer(Answer::Tree(NameTree::Fail));
    assert_eq!(
        delegation.step(),
        Step::Ask(path("/#/x")),
        "an answer to nothing is ignored"
    );
    assert_eq!(delegation.step(), Step::Ask(path("/#/x")));
    delegation.answer(Answer::Tree(NameTree::Empty));
    delegation.answer(Answer::Tree(NameTree::Fail));
    assert_eq!(
        delegation.step(),
        Step::Done(Outcome::Bound(NameTree::Empty))
    );
}

#[test]
fn namers_that_answer_in_circles_are_stopped() {
    let (asked, outcome) = run("/a=>/#/to/a", "/a", registry);
    assert_eq!(asked.len(), 50);
    assert!(outcome.contains("more than 100 rewrites deep"), "{outcome}");
}

#[test]
fn binding_without_namers_agrees() {
    let table = "/a=>/b & /$/inet/h/1;/b=>/#/x";
    let unconfigured = |asked: &str| Answer::Failed(BindError::NotConfigured { path: path(asked) });
    for name in ["/a", "/b", "/c", "/$/nil"] {
        assert_eq!(run(table, name, unconfigured).1, bound(table, name));
    }
}
