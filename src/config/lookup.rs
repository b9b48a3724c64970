//! Questions to the tables of [`keys`](super::keys): is it known, what is it near to, where else
//! does it belong.

use super::keys::{BLOCKS, Block, Kinds};
use super::value::shown;

impl Block {
    /// `servers[].tls`: as people call it.
    pub fn name(&self, key: &str) -> String {
        match self.title.strip_prefix("routers[].").unwrap_or(self.title) {
            "" => key.to_owned(),
            title => format!("{}.{key}", title.split(':').next().unwrap_or(title)),
        }
    }

    /// Message and help for a key that may not stand here.
    pub fn refuses(&self, key: &str) -> Option<(String, Option<String>)> {
        if self.keys.contains(&key) {
            return None;
        }
        if self.not_yet.contains(&key) {
            return Some((format!("{} is not supported yet", self.name(key)), None));
        }
        if let Some((_, instead)) = self.gone.iter().find(|(old, _)| *old == key) {
            let message = format!("{} is a key of an older linkerd", self.name(key));
            return Some((message, Some((*instead).to_owned())));
        }
        if key == "<<" {
            let help = "repeat the keys, or alias the whole map".to_owned();
            return Some(("merge keys are not part of YAML 1.2".to_owned(), Some(help)));
        }
        let accepted = self.keys.join(", ");
        let homes = homes(key);
        let help = if let Some(near) = nearest(key, self.keys) {
            format!("did you mean `{near}`? accepted here: {accepted}")
        } else if let Some(home) = homes.first() {
            format!("it belongs in `{home}`; accepted here: {accepted}")
        } else {
            format!("accepted here: {accepted}")
        };
        Some((format!("unknown key `{}`", shown(key)), Some(help)))
    }
}

/// The blocks that know a key.
fn homes(key: &str) -> Vec<&'static str> {
    let knows = |b: &&&Block| b.keys.contains(&key) || b.not_yet.contains(&key);
    let titles = BLOCKS.iter().filter(knows).map(|b| b.title);
    titles.filter(|t| !t.is_empty()).collect()
}

impl Kinds {
    /// A supported kind by its full or plain name: its canonical name, and its block.
    pub fn find(&self, name: &str) -> Option<(&'static str, &'static Block)> {
        let same = |(known, _): &&(&'static str, &'static Block)| plain(known) == plain(name);
        self.supported.iter().find(same).copied()
    }

    pub fn is_not_yet(&self, name: &str) -> bool {
        self.not_yet.iter().any(|known| plain(known) == plain(name))
    }

    pub fn replaced(&self, name: &str) -> Option<&'static str> {
        let old = self.gone.iter().find(|(old, _)| plain(old) == plain(name));
        old.map(|(_, new)| *new)
    }

    /// The supported kinds, for a message.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.supported.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        let all = self.supported.iter().map(|(name, _)| name);
        let all: Vec<_> = all.chain(self.not_yet).copied().collect();
        let plains: Vec<_> = all.iter().map(|name| plain(name)).collect();
        let near = nearest(plain(name), &plains)?;
        all.into_iter().find(|name| plain(name) == near)
    }
}

fn plain(kind: &str) -> &str {
    kind.strip_prefix("io.l5d.").unwrap_or(kind)
}

/// The candidate that a typing error most likely meant: at most a third of it may be wrong.
pub fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let distance = |c: &str| strsim::damerau_levenshtein(&word, &c.to_lowercase());
    let (best, distance) = candidates
        .iter()
        .map(|c| (*c, distance(c)))
        .min_by_key(|(_, distance)| *distance)?;
    let longest = word.chars().count().max(best.chars().count());
    (distance * 3 <= longest).then_some(best)
}
