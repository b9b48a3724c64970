//! What holds for every text, table and name.

use proptest::prelude::*;

use crate::naming::{Dentry, Dtab, Elem, NameTree, Path, Prefix, Weight, Weighted, bind};

fn segment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-zA-Z0-9_:.#$%-]{1,6}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..5),
    ]
}

fn any_path() -> impl Strategy<Value = Path> {
    prop::collection::vec(segment(), 0..5).prop_map(Path::from_segments)
}

fn weight() -> impl Strategy<Value = Weight> {
    let number = prop_oneof![
        (0u32..1_000).prop_map(|n| f64::from(n) / 100.0),
        (0.0..1e300f64),
        Just(f64::MIN_POSITIVE),
    ];
    number.prop_map(|n| Weight::new(n).unwrap())
}

/// Trees as the parser makes them: every Alt and Union has two branches at least.
fn any_tree<P>(leaf: impl Strategy<Value = P> + 'static) -> impl Strategy<Value = NameTree<P>>
where
    P: Clone + std::fmt::Debug + 'static,
{
    let simple = prop_oneof![
        6 => leaf.prop_map(NameTree::Leaf),
        2 => Just(NameTree::Neg),
        1 => Just(NameTree::Fail),
        1 => Just(NameTree::Empty),
    ];
    simple.prop_recursive(4, 24, 4, |inner| {
        let branch = (weight(), inner.clone()).prop_map(|(weight, tree)| Weighted { weight, tree });
        prop_oneof![
            prop::collection::vec(inner, 2..4).prop_map(NameTree::Alt),
            prop::collection::vec(branch, 2..4).prop_map(NameTree::Union),
        ]
    })
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let elem = prop_oneof![
        4 => segment().prop_map(|label| Elem::Label(label.into())),
        1 => Just(Elem::Any),
    ];
    prop::collection::vec(elem, 0..4).prop_map(Prefix::new)
}

fn any_dtab() -> impl Strategy<Value = Dtab> {
    let entry = (prefix(), any_tree(any_path())).prop_map(|(prefix, dst)| Dentry { prefix, dst });
    prop::collection::vec(entry, 0..5).prop_map(|entries| entries.into_iter().collect())
}

/// Paths over few names, so that tables lead into each other, into circles and to namers.
fn knotted_path() -> impl Strategy<Value = Path> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let plain = prop::collection::vec(name, 0..4).prop_map(Path::from_segments);
    let utility = prop::sample::select(vec![
        "/$/inet/h/1",
        "/$/inet",
        "/$/nil",
        "/$/fail",
        "/#/x",
        "/$/unknown",
        "/$/io.buoyant.http.domainToPath",
        "/$/io.buoyant.http.anyHostPfx",
    ]);
    prop_oneof![4 => plain, 1 => utility.prop_map(|text| text.parse().unwrap())]
}

fn knotted_dtab() -> impl Strategy<Value = Dtab> {
    let name = prop::sample::select(vec![&b"a"[..], b"b", b"c", b"d"]);
    let elem =
        prop_oneof![5 => name.prop_map(|name| Elem::Label(name.into())), 1 => Just(Elem::Any)];
    let prefix = prop::collection::vec(elem, 0..3).prop_map(Prefix::new);
    let entry = (prefix, any_tree(knotted_path())).prop_map(|(prefix, dst)| Dentry { prefix, dst });
    prop::collection::vec(entry, 0..8).prop_map(|entries| entries.into_iter().collect())
}

/// Paths that exist, are empty or do not exist, by the utility namers alone.
fn settled_path() -> impl Strategy<Value = Path> {
    prop::sample::select(vec![
        "/$/inet/h/1",
        "/$/inet/h/2",
        "/$/nil",
        "/$/io.buoyant.rinet",
    ])
    .prop_map(|text| text.parse().unwrap())
}

fn has_no_alt<T>(tree: &NameTree<T>) -> bool {
    match tree {
        NameTree::Alt(_) => false,
        NameTree::Union(branches) => {
            let good = |tree| !matches!(tree, &NameTree::Neg | &NameTree::Fail) && has_no_alt(tree);
            branches.len() > 1 && branches.iter().all(|branch| good(&branch.tree))
        }
        _ => true,
    }
}

proptest! {
    #[test]
    fn a_shown_path_parses_to_itself(path in any_path()) {
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn a_shown_tree_parses_to_itself(tree in any_tree(any_path())) {
        prop_assert_eq!(tree.to_string().parse(), Ok(tree));
    }

    #[test]
    fn a_shown_table_parses_to_itself(dtab in any_dtab()) {
        prop_assert_eq!(dtab.to_string().parse(), Ok(dtab));
    }

    #[test]
    fn any_text_parses_or_says_where_not(text in r"[/a*=>|&~!$()#;\\x0.9 \né]{0,40}|\PC{0,40}") {
        match text.parse::<Dtab>() {
            Ok(dtab) => prop_assert_eq!(dtab.to_string().parse(), Ok(dtab)),
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.offset));
                let before = &text[..error.offset];
                prop_assert_eq!(error.line, before.split('\n').count());
                let column = before.split('\n').next_back().map(|line| line.chars().count() + 1);
                prop_assert_eq!(Some(error.column), column);
            }
        }
    }

    #[test]
    fn paths_split_and_join(path in any_path(), n in 0usize..7) {
        let (head, tail) = (path.take(n), path.skip(n));
        prop_assert_eq!(head.len(), path.len().min(n));
        prop_assert_eq!(path.strip_prefix(&head), Some(tail.clone()));
        prop_assert_eq!(head.join(&tail), path.clone());
        prop_assert_eq!(Path::from_segments(path.segments()), path);
    }

    #[test]
    fn a_path_starts_with_another_as_their_segments_do(a in knotted_path(), b in knotted_path()) {
        let (of_a, of_b): (Vec<_>, Vec<_>) = (a.segments().collect(), b.segments().collect());
        prop_assert_eq!(a.starts_with(&b), of_a.starts_with(&of_b));
        prop_assert_eq!(Prefix::from(&b).matches(&a), of_a.starts_with(&of_b));
    }

    #[test]
    fn simplifying_is_done_at_once(tree in any_tree(any_path())) {
        let once = tree.simplify();
        prop_assert_eq!(once.clone().simplify(), once);
    }

    #[test]
    fn concatenation_is_associative(a in any_dtab(), b in any_dtab(), c in any_dtab()) {
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
    }

    #[test]
    fn delegation_ends_and_leaves_no_alternatives(dtab in knotted_dtab(), path in knotted_path()) {
        let result = bind(&dtab, &path);
        if let Ok(tree) = &result {
            prop_assert!(has_no_alt(tree), "{tree:?}");
        }
        prop_assert_eq!(bind(&dtab, &path), result);
    }

    #[test]
    fn simplified_trees_bind_alike(tree in any_tree(settled_path())) {
        // Without failures: see `NameTree::simplify` for what they change.
        let tree: NameTree<Path> = tree.to_string().replace('!', "~").parse().unwrap();
        let name = Path::of_segment(b"name");
        let prefix = Prefix::from(&name);
        let by = |dst| {
            let entry = Dentry { prefix: prefix.clone(), dst };
            bind(&[entry].into_iter().collect(), &name)
        };
        prop_assert_eq!(by(tree.clone()), by(tree.simplify()));
    }
}
