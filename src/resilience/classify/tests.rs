//! Classifiers: every kind, by method, status and what can go wrong on the wire.

use super::*;

const METHODS: [MethodClass; 4] = [
    MethodClass::Read,
    MethodClass::Idempotent,
    MethodClass::Write,
    MethodClass::Other,
];

fn response(status: u16) -> Reply {
    Reply::Response {
        status,
        grpc_status: None,
    }
}

fn exchange(method: MethodClass, reply: Reply) -> Exchange {
    Exchange {
        method,
        is_repeatable: true,
        reply,
        l5d_retryable: false,
    }
}

/// `s`, `r`, `n` for each method.
fn verdicts(classifier: &Classifier, reply: Reply) -> String {
    let letter = |method| match classifier.classify(&exchange(method, reply)) {
        Class::Success => 's',
        Class::RetryableFailure => 'r',
        Class::NonRetryableFailure => 'n',
    };
    METHODS.into_iter().map(letter).collect()
}

#[test]
fn http_kinds_by_method() {
    use Classifier::{
        AllSuccessful, NonRetryable5xx, RetryableAll5xx, RetryableIdempotent5xx, RetryableRead5xx,
    };
    // Read, idempotent, write, other; each of 5xx and of what the wire can do.
    let table = [
        (NonRetryable5xx, "nnnn", "nnnn"),
        (RetryableRead5xx, "rnnn", "rnnn"),
        (RetryableIdempotent5xx, "rrnn", "rrnn"),
        (RetryableAll5xx, "rrrn", "rrrn"),
        (AllSuccessful, "ssss", "nnnn"),
    ];
    for (classifier, by_status, by_wire) in table {
        for status in [500, 502, 503, 504, 599] {
            assert_eq!(
                verdicts(&classifier, response(status)),
                by_status,
                "{status}"
            );
        }
        for status in [100, 200, 204, 302, 404, 408, 429, 499] {
            assert_eq!(verdicts(&classifier, response(status)), "ssss", "{status}");
        }
        for failure in [
            Failure::Timeout,
            Failure::Write,
            Failure::Closed,
            Failure::Framing,
        ] {
            assert_eq!(verdicts(&classifier, Reply::Failed(failure)), by_wire);
        }
        assert_eq!(verdicts(&classifier, Reply::Failed(Failure::Other)), "nnnn");
        for failure in [Failure::NotSent, Failure::Refused] {
            assert_eq!(verdicts(&classifier, Reply::Failed(failure)), "rrrr");
        }
    }
    assert_eq!(Classifier::default(), NonRetryable5xx);
}

#[test]
fn l5d_retryable_raises_a_failure() {
    let mut exchange = exchange(MethodClass::Write, response(503));
    exchange.l5d_retryable = true;
    let classifier = Classifier::default();
    assert_eq!(classifier.classify(&exchange), Class::RetryableFailure);
    exchange.reply = response(200);
    assert_eq!(classifier.classify(&exchange), Class::Success);
}

#[test]
fn a_streamed_request_is_never_repeated() {
    for reply in [
        response(503),
        Reply::Failed(Failure::NotSent),
        Reply::Failed(Failure::Timeout),
    ] {
        let exchange = Exchange {
            method: MethodClass::Read,
            is_repeatable: false,
            reply,
            l5d_retryable: true,
        };
        for classifier in [
            Classifier::RetryableAll5xx,
            grpc_classifier(GrpcRetries::Always),
        ] {
            assert_eq!(classifier.classify(&exchange), Class::NonRetryableFailure);
        }
    }
}

fn grpc_classifier(retries: GrpcRetries) -> Classifier {
    Classifier::Grpc {
        retries,
        successes: vec![0],
    }
}

#[test]
fn grpc_kinds() {
    let codes = || GrpcRetries::Codes(vec![8, 10]);
    let kinds = [
        GrpcRetries::Default,
        GrpcRetries::Compliant,
        GrpcRetries::Always,
        GrpcRetries::Never,
        codes(),
    ];
    let coded = |code| Reply::Response {
        status: 200,
        grpc_status: Some(code),
    };
    // Default, compliant, always, never, codes.
    let table = [
        (coded(0), "sssss"),
        (coded(14), "rrrnn"),
        (coded(2), "nnrnn"),
        (coded(8), "nnrnr"),
        (coded(10), "nnrnr"),
        (response(200), "nnnnn"),
        (response(404), "nnrnn"),
        (response(429), "nrrnn"),
        (response(500), "nnrnn"),
        (response(502), "nrrnn"),
        (response(503), "nrrnn"),
        (response(504), "nrrnn"),
        (Reply::Failed(Failure::Closed), "nnrnn"),
        (Reply::Failed(Failure::Refused), "rrrrr"),
        (Reply::Failed(Failure::NotSent), "rrrrr"),
        // The status counts even where HTTP says otherwise.
        (
            Reply::Response {
                status: 503,
                grpc_status: Some(0),
            },
            "sssss",
        ),
    ];
    for (reply, expected) in table {
        let found: String = kinds
            .iter()
            .map(|kind| {
                let letters = verdicts(&grpc_classifier(kind.clone()), reply);
                let first = letters.chars().next().unwrap();
                assert!(
                    letters.chars().all(|letter| letter == first),
                    "of all methods"
                );
                first
            })
            .collect();
        assert_eq!(found, expected, "{reply:?}");
    }
}

#[test]
fn grpc_successes_are_configurable() {
    let classifier = Classifier::Grpc {
        retries: GrpcRetries::Always,
        successes: vec![0, 5],
    };
    let reply = Reply::Response {
        status: 200,
        grpc_status: Some(5),
    };
    assert_eq!(verdicts(&classifier, reply), "ssss");
}

#[test]
fn reads_status_fields() {
    for (value, expected) in [
        ("0", 0),
        ("14", 14),
        ("007", 7),
        ("999999999", 999_999_999),
        ("1000000000", 2),
        ("", 2),
        ("-1", 2),
        (" 1", 2),
        ("x", 2),
    ] {
        assert_eq!(grpc_status(value.as_bytes()), expected, "{value}");
    }
    for (value, expected) in [
        ("1.0", true),
        ("0.0", false),
        ("0.01", true),
        ("1", true),
        (" 1.0 ", true),
        ("-1", false),
        ("NaN", false),
        ("", false),
        ("yes", false),
    ] {
        assert_eq!(is_success_class(value.as_bytes()), expected, "{value}");
    }
    assert!(!is_success_class(b"\xff"));
}
