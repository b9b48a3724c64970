//! Texts: what parses, to what, how it is shown again, and where a wrong one is wrong.

use super::{dtab, path, tree};
use crate::naming::{Dentry, Dtab, Elem, NameTree, Path, Prefix, Weight, Weighted};

#[test]
fn paths_parse_and_show() {
    let cases: &[(&str, &[&[u8]], &str)] = &[
        ("/", &[], "/"),
        ("/a", &[b"a"], "/a"),
        ("/svc/users", &[b"svc", b"users"], "/svc/users"),
        ("  /a/b \n", &[b"a", b"b"], "/a/b"),
        ("/a # a comment", &[b"a"], "/a"),
        ("/a#b", &[b"a#b"], "/a#b"),
        (
            "/#/io.l5d.fs/x",
            &[b"#", b"io.l5d.fs", b"x"],
            "/#/io.l5d.fs/x",
        ),
        (
            "/$/inet/127.1/80",
            &[b"$", b"inet", b"127.1", b"80"],
            "/$/inet/127.1/80",
        ),
        ("/%/x", &[b"%", b"x"], "/%/x"),
        ("/a-b_c:d.e", &[b"a-b_c:d.e"], "/a-b_c:d.e"),
        (r"/\x61\x62", &[b"ab"], "/ab"),
        (r"/a\x2fb/c", &[b"a/b", b"c"], r"/\x61\x2f\x62/c"),
        (r"/\xFF\x00", &[b"\xff\0"], r"/\xff\x00"),
        (r"/\x20", &[b" "], r"/\x20"),
        (r"/\x2a", &[b"*"], r"/\x2a"),
    ];
    for (text, segments, shown) in cases {
        let path = path(text);
        assert_eq!(path.segments().collect::<Vec<_>>(), *segments, "{text}");
        assert_eq!(path.to_string(), *shown, "{text}");
        assert_eq!(path, Path::from_segments(*segments), "{text}");
    }
}

#[test]
fn segments_of_requests_are_escaped_never_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"example.com:80", "/example.com:80"),
        (b"", "/"),
        (b"a b", r"/\x61\x20\x62"),
        (b"[::1]", r"/\x5b\x3a\x3a\x31\x5d"),
        ("é".as_bytes(), r"/\xc3\xa9"),
        (b"/", r"/\x2f"),
        (b";", r"/\x3b"),
    ];
    for (segment, shown) in cases {
        let path = Path::of_segment(segment);
        assert_eq!(path.to_string(), *shown);
        assert_eq!(path.to_string().parse(), Ok(path));
    }
}

#[test]
fn trees_parse_and_show() {
    // Shown form and the form with everything said, if they differ from the text.
    let cases = [
        ("/a", "/a"),
        ("~", "~"),
        ("!", "!"),
        ("$", "$"),
        ("/", "/"),
        ("/a|/b", "/a | /b"),
        ("/a | /b | ~", "/a | /b | ~"),
        ("/a&/b", "1.00 * /a & 1.00 * /b"),
        ("2*/a&3*/b", "2.00 * /a & 3.00 * /b"),
        (".5*/a & 0.25 * /b", "0.50 * /a & 0.25 * /b"),
        ("1. * /a & 007 * /b", "1.00 * /a & 7.00 * /b"),
        ("0.001 * /a & 1 * /b", "0.001 * /a & 1.00 * /b"),
        ("0 * /a & /b", "0.00 * /a & 1.00 * /b"),
        ("1 * ~ & 2 * $ & 3 * !", "1.00 * ~ & 2.00 * $ & 3.00 * !"),
        ("5 * /a", "/a"),
        ("(/a)", "/a"),
        ("(((/a)))", "/a"),
        ("(5 * (/a))", "/a"),
        ("/a | /b & /c", "/a | 1.00 * /b & 1.00 * /c"),
        ("/a & /b | /c", "1.00 * /a & 1.00 * /b | /c"),
        ("/a & (/b | /c)", "1.00 * /a & 1.00 * (/b | /c)"),
        ("(/a | /b) & /c", "1.00 * (/a | /b) & 1.00 * /c"),
        ("(/a | /b) | /c", "(/a | /b) | /c"),
        ("/a | (/b | /c)", "/a | (/b | /c)"),
        (
            "2 * (/a & 3 * /b) & /c",
            "2.00 * (1.00 * /a & 3.00 * /b) & 1.00 * /c",
        ),
        ("/a # one\n | # two\n /b", "/a | /b"),
        ("#only\n/a", "/a"),
        ("/a#b | /c", "/a#b | /c"),
        ("\u{a0}/a\u{3000}| /b", "/a | /b"),
        ("/$ | $", "/$ | $"),
        ("$|/$", "$ | /$"),
        ("3 * $ & /a", "3.00 * $ & 1.00 * /a"),
    ];
    for (text, shown) in cases {
        assert_eq!(tree(text).to_string(), shown, "{text}");
        assert_eq!(tree(shown), tree(text), "{text}");
    }
}

#[test]
fn union_binds_tighter_than_alternatives() {
    let leaf = |text| NameTree::Leaf(path(text));
    let weighted = |weight, text| Weighted {
        weight: Weight::new(weight).unwrap(),
        tree: leaf(text),
    };
    assert_eq!(
        tree("/a | 2 * /b & /c | /d"),
        NameTree::Alt(vec![
            leaf("/a"),
            NameTree::Union(vec![weighted(2.0, "/b"), weighted(1.0, "/c")]),
            leaf("/d"),
        ])
    );
}

#[test]
fn nodes_without_branches_show_as_what_they_mean() {
    let none: [NameTree<Path>; 2] = [NameTree::Alt(vec![]), NameTree::Union(vec![])];
    assert_eq!(none.map(|tree| tree.to_string()), ["~", "~"]);
    let one = NameTree::Alt(vec![tree("/a & /b")]);
    let two = NameTree::Alt(vec![one, NameTree::Neg]);
    assert_eq!(two.to_string(), "1.00 * /a & 1.00 * /b | ~");
}

#[test]
fn tables_parse_and_show() {
    let cases = [
        ("", ""),
        (" \n\t", ""),
        ("# nothing", ""),
        ("/a=>/b", "/a=>/b"),
        ("/a => /b ;", "/a=>/b"),
        ("/a=>/b;/c=>/d", "/a=>/b;/c=>/d"),
        ("/ => /x", "/=>/x"),
        ("/=>/", "/=>/"),
        ("/* => /x", "/*=>/x"),
        ("/a/*/b => /x", "/a/*/b=>/x"),
        ("/*/* => /x | ~", "/*/*=>/x | ~"),
        ("/#/x => !", "/#/x=>!"),
        (r"/\x2a => /x", r"/\x2a=>/x"),
        ("/a=>/b;# last\n", "/a=>/b"),
        (
            "/a # prefix\n=> # arrow\n/b # tree\n; # entry\n/c=>$",
            "/a=>/b;/c=>$",
        ),
        ("/a => 1 * /b & 9 * /c;\n", "/a=>1.00 * /b & 9.00 * /c"),
        ("/a\r\n=>\r\n/b;\r\n", "/a=>/b"),
    ];
    for (text, shown) in cases {
        assert_eq!(dtab(text).to_string(), shown, "{text}");
        assert_eq!(dtab(shown), dtab(text), "{text}");
    }
}

#[test]
fn a_star_is_a_wildcard_only_as_a_whole_segment() {
    let entry: Dentry = "/a/*/b=>/x".parse().unwrap();
    let label = |text: &str| Elem::Label(text.as_bytes().into());
    assert_eq!(
        entry.prefix,
        Prefix::new([label("a"), Elem::Any, label("b")])
    );
    assert_eq!(r"/\x2a".parse::<Prefix>(), Ok(Prefix::new([label("*")])));
    assert_eq!(Prefix::from(&Path::of_segment(b"*")).to_string(), r"/\x2a");
}

#[test]
fn errors_say_where_and_what() {
    let cases: &[(&str, usize, &str)] = &[
        (
            "x",
            0,
            "1:1 expected a prefix, which starts with '/', found 'x'",
        ),
        (
            ";",
            0,
            "1:1 expected a prefix, which starts with '/', found ';'",
        ),
        (
            "/a",
            2,
            "1:3 expected '=>' after the prefix, found the end of the text",
        ),
        (
            "/a = /b",
            3,
            "1:4 expected '=>' after the prefix, found '='",
        ),
        (
            "/a =>",
            5,
            "1:6 expected a path, '!', '~', '$' or '(', found the end of the text",
        ),
        (
            "/a => b",
            6,
            "1:7 expected a path, '!', '~', '$' or '(', found 'b'",
        ),
        (
            "/a => /b /c",
            9,
            "1:10 expected ';', '|', '&' or the end, found '/'",
        ),
        (
            "/a => /b\n/c => /d",
            9,
            "2:1 expected ';', '|', '&' or the end, found '/'",
        ),
        (
            "/a=>/b;;",
            7,
            "1:8 expected a prefix, which starts with '/', found ';'",
        ),
        ("/a//b=>/c", 3, "1:4 empty label: '/' after '/'"),
        ("//a=>/c", 1, "1:2 empty label: '/' after '/'"),
        (
            "/a/ =>/c",
            3,
            "1:4 expected a label or '*' after '/', found ' '",
        ),
        (
            "/a=>/b/",
            7,
            "1:8 expected a label after '/', found the end of the text",
        ),
        ("/a=>/b//c", 7, "1:8 empty label: '/' after '/'"),
        (
            "/a=>/*",
            5,
            "1:6 expected ';', '|', '&' or the end, found '*'",
        ),
        (
            "/a*=>/b",
            2,
            "1:3 expected '=>' after the prefix, found '*'",
        ),
        (
            "/*a=>/b",
            2,
            "1:3 expected '=>' after the prefix, found 'a'",
        ),
        (
            "/a=>/b|",
            7,
            "1:8 expected a path, '!', '~', '$' or '(', found the end of the text",
        ),
        (
            "/a=>/b&;",
            7,
            "1:8 expected a path, '!', '~', '$' or '(', found ';'",
        ),
        (
            "/a=>(/b",
            7,
            "1:8 expected '|', '&' or ')', found the end of the text",
        ),
        ("/a=>(/b;/c)", 7, "1:8 expected '|', '&' or ')', found ';'"),
        (
            "/a=>/b)",
            6,
            "1:7 expected ';', '|', '&' or the end, found ')'",
        ),
        (
            "/a=>()",
            5,
            "1:6 expected a path, '!', '~', '$' or '(', found ')'",
        ),
        (
            "/a=>2 /b",
            6,
            "1:7 expected '*' after the weight, found '/'",
        ),
        (
            "/a=>. * /b",
            5,
            "1:6 expected a digit in the weight, found ' '",
        ),
        (
            "/a=>1.2.3*/b",
            7,
            "1:8 expected '*' after the weight, found '.'",
        ),
        (
            "/a=>-1*/b",
            4,
            "1:5 expected a path, '!', '~', '$' or '(', found '-'",
        ),
        (
            "/a=>2*3*/b",
            6,
            "1:7 expected a path, '!', '~', '$' or '(', found '3'",
        ),
        (
            r"/a=>/\q",
            6,
            r"1:7 expected 'x' and two hexadecimal digits after '\', found 'q'",
        ),
        (
            r"/a=>/\x4",
            8,
            "1:9 expected a hexadecimal digit, found the end of the text",
        ),
        (
            r"/a=>/\xg0",
            7,
            "1:8 expected a hexadecimal digit, found 'g'",
        ),
        ("/é=>/b", 1, "1:2 expected '=>' after the prefix, found 'é'"),
        (
            "# é\n/a=>/b;\n  /c=>é",
            19,
            "3:7 expected a path, '!', '~', '$' or '(', found 'é'",
        ),
        (
            "/a=>/b;\n/c=>\u{3000}é",
            15,
            "2:6 expected a path, '!', '~', '$' or '(', found 'é'",
        ),
        (
            "/a=>/b@1",
            6,
            "1:7 expected ';', '|', '&' or the end, found '@'",
        ),
    ];
    for (text, offset, expected) in cases {
        let error = text.parse::<Dtab>().expect_err(text);
        let shown = format!("{}:{} {}", error.line, error.column, error.message);
        assert_eq!(
            (error.offset, shown.as_str()),
            (*offset, *expected),
            "{text}"
        );
    }
    let error = "/a=>\nx".parse::<Dtab>().unwrap_err();
    assert!(
        error.to_string().starts_with("line 2, column 1: expected"),
        "{error}"
    );
}

#[test]
fn errors_of_other_texts() {
    let message = |text: &str| text.parse::<Path>().unwrap_err().message;
    assert_eq!(
        message(""),
        "expected a path, which starts with '/', found the end of the text"
    );
    assert_eq!(message("/a /b"), "expected the end, found '/'");
    assert_eq!(
        message("/a/"),
        "expected a label after '/', found the end of the text"
    );
    assert_eq!(message("/a*"), "expected the end, found '*'");
    let message = |text: &str| text.parse::<NameTree<Path>>().unwrap_err().message;
    assert_eq!(message("/a;"), "expected '|', '&' or the end, found ';'");
    let message = |text: &str| text.parse::<Dentry>().unwrap_err().message;
    assert_eq!(
        message("/a=>/b;"),
        "expected '|', '&' or the end, found ';'"
    );
}

#[test]
fn limits() {
    let nested = |n: usize| format!("/a=>{}/b{}", "(".repeat(n), ")".repeat(n));
    assert!(nested(64).parse::<Dtab>().is_ok());
    let error = nested(100_000).parse::<Dtab>().unwrap_err();
    assert_eq!(
        (error.offset, error.message.as_str()),
        (68, "more than 64 parentheses deep")
    );
    let error = format!("/a=>{}*/b", "9".repeat(400))
        .parse::<Dtab>()
        .unwrap_err();
    assert_eq!(
        (error.offset, error.message.as_str()),
        (4, "a weight too large to be a number")
    );
}
