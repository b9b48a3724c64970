//! `io.l5d.fs`: names are files, and their lines are replicas.
//!
//! The segments of a path walk down directories to the first regular file; what follows is residual.
//! Files are small and local, so they are read where they are asked for; from then on the kernel
//! (inotify) says in which directory something happened, and the names that begin there are looked
//! at again. A write counts when the file is closed, never before: half a line is a wrong address.
//! Names come from strangers: a segment that is no plain file name does not exist.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::Stream as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::watch;

use crate::naming::{NameTree, Path, Place};

use super::namer::{Addrs, Answer, Found, Namer};
use super::names::Follower;

/// Larger files are no lists of replicas.
const MOST_BYTES: u64 = 500_000;
/// Time between two looks while the kernel does not say what happens.
const EVERY: Duration = Duration::from_secs(1);
/// Room for events that are read at once.
const EVENTS: usize = 16 * 1024;
/// Names that are listed, at most, and directories within each other that are looked into.
const MOST_LISTED: usize = 10_000;
const LISTED_DEPTH: usize = 8;
/// Names that nobody follows are forgotten when there are so many, at least.
const PRUNE_FROM: usize = 64;

/// See the module's head.
pub struct Fs {
    state: Arc<Mutex<State>>,
    _attending: Follower,
}

impl Fs {
    /// Watches a directory. Must be called within the slow path's runtime.
    #[must_use]
    pub fn new(root: PathBuf) -> Fs {
        let stream = Inotify::init().and_then(|inotify| {
            let watches = inotify.watches();
            let stream = inotify.into_event_stream(vec![0; EVENTS])?;
            Ok((stream, watches))
        });
        let (events, watches) = match stream {
            Ok((stream, watches)) => (Some(stream), Some(watches)),
            Err(error) => {
                tracing::warn!(
                    "{} cannot be watched, it is looked at every second: {error}",
                    root.display()
                );
                (None, None)
            }
        };
        let state = Arc::new(Mutex::new(State {
            root,
            watches,
            watched: HashMap::new(),
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            prune_at: PRUNE_FROM,
        }));
        lock(&state).watch(None);
        let attending = tokio::spawn(attend(Arc::clone(&state), events));
        Fs {
            state,
            _attending: Follower::of(&attending),
        }
    }
}

impl Namer for Fs {
    fn look_up(&self, path: &Path) -> watch::Receiver<Answer> {
        let mut state = lock(&self.state);
        if let Some(sender) = state.names.get(path) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(state.answer(path));
        state.names.insert(path.clone(), sender);
        state.prune();
        receiver
    }

    fn addrs(&self, id: &Path) -> watch::Receiver<Addrs> {
        let mut state = lock(&self.state);
        if let Some(sender) = state.files.get(id) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(state.read(id));
        state.files.insert(id.clone(), sender);
        state.prune();
        receiver
    }

    fn names(&self) -> Vec<Path> {
        let root = lock(&self.state).root.clone();
        let mut names = Vec::new();
        list(&root, &Path::empty(), LISTED_DEPTH, &mut names);
        names
    }
}

/// Adds the files below a directory, in their order; no more than [`MOST_LISTED`].
fn list(dir: &FilePath, above: &Path, depth: usize, names: &mut Vec<Path>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut entries: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    entries.sort();
    // Hidden files are drafts, or the insides of a Kubernetes volume.
    entries.retain(|name| !name.as_bytes().starts_with(b"."));
    for name in entries {
        let (at, path) = (dir.join(&name), above.push(name.as_bytes()));
        match fs::metadata(&at) {
            _ if names.len() == MOST_LISTED => return,
            Ok(found) if found.is_file() => names.push(path),
            Ok(found) if found.is_dir() && depth > 0 => list(&at, &path, depth - 1, names),
            Ok(_) | Err(_) => {}
        }
    }
}

/// A panic elsewhere leaves nothing half-done here.
fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State {
    root: PathBuf,
    watches: Option<Watches>,
    /// Directories, and the first segment of the names below; the root has none.
    watched: HashMap<WatchDescriptor, (PathBuf, Option<OsString>)>,
    names: BTreeMap<Path, watch::Sender<Answer>>,
    files: BTreeMap<Path, watch::Sender<Addrs>>,
    prune_at: usize,
}

/// Where a path leads.
enum Walked {
    /// To this file, by so many segments.
    File(PathBuf, usize),
    Missing,
    Failed(String),
}

impl State {
    fn answer(&mut self, path: &Path) -> Answer {
        match self.walk(path) {
            Walked::File(_, used) => Answer::Tree(NameTree::Leaf(Found::Bound {
                id: path.take(used),
                residual: path.skip(used),
            })),
            Walked::Missing => Answer::Tree(NameTree::Neg),
            Walked::Failed(why) => Answer::Failed(why),
        }
    }

    fn read(&mut self, id: &Path) -> Addrs {
        match self.walk(id) {
            Walked::File(file, used) if used == id.len() => match read_places(&file) {
                Ok(places) => Addrs::Known(places),
                Err(why) => Addrs::Failed(format!("{}: {why}", file.display())),
            },
            Walked::File(..) | Walked::Missing => Addrs::Gone,
            Walked::Failed(why) => Addrs::Failed(why),
        }
    }

    fn walk(&mut self, path: &Path) -> Walked {
        let mut at = self.root.clone();
        for (index, segment) in path.segments().enumerate() {
            if !is_file_name(segment) {
                return Walked::Missing;
            }
            if index > 0 {
                // Before it is looked into: what happens in between is then told.
                self.watch(Some((at.clone(), path.first().unwrap_or_default())));
            }
            at.push(OsStr::from_bytes(segment));
            match fs::metadata(&at) {
                Ok(found) if found.is_file() => return Walked::File(at, index + 1),
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Walked::Missing,
                Err(error) if is_missing(&error) => return Walked::Missing,
                Err(error) => return Walked::Failed(format!("{}: {error}", at.display())),
            }
        }
        Walked::Missing
    }

    /// Watches a directory below a first segment, or the root.
    fn watch(&mut self, below: Option<(PathBuf, &[u8])>) {
        let (dir, first) = match below {
            Some((dir, first)) => (dir, Some(OsStr::from_bytes(first).to_owned())),
            None => (self.root.clone(), None),
        };
        let Some(watches) = &mut self.watches else {
            return;
        };
        if self.watched.values().any(|(known, _)| *known == dir) {
            return;
        }
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR;
        match watches.add(&dir, mask) {
            Ok(watch) => drop(self.watched.insert(watch, (dir, first))),
            Err(error) if is_missing(&error) => {}
            Err(error) => tracing::warn!("{} cannot be watched: {error}", dir.display()),
        }
    }

    fn root_is_watched(&self) -> bool {
        self.watched.values().any(|(_, first)| first.is_none())
    }

    /// Something happened in a watched directory.
    fn happened(&mut self, event: &EventOwned) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return self.refresh(None);
        }
        let Some((_, first)) = self.watched.get(&event.wd).cloned() else {
            return;
        };
        let moved = event.mask.contains(EventMask::MOVE_SELF);
        if moved && let Some(watches) = &mut self.watches {
            // It goes on to tell of a directory that is another one's now.
            drop(watches.remove(event.wd.clone()));
        }
        if moved || event.mask.contains(EventMask::IGNORED) {
            self.watched.remove(&event.wd);
        }
        match (first, &event.name) {
            (Some(first), _) => self.refresh(Some(first.as_bytes())),
            // A link may stand for anything: Kubernetes swaps all files of a volume by one.
            (None, Some(name)) if is_link(&self.root.join(name)) => self.refresh(None),
            (None, Some(name)) => self.refresh(Some(name.as_bytes())),
            (None, None) => self.refresh(None),
        }
    }

    /// Looks again at the names that begin with this segment, or at all.
    fn refresh(&mut self, first: Option<&[u8]>) {
        for path in begin_with(&self.names, first) {
            let answer = self.answer(&path);
            renew(&mut self.names, &path, answer);
        }
        for id in begin_with(&self.files, first) {
            let addrs = self.read(&id);
            renew(&mut self.files, &id, addrs);
        }
    }

    fn prune(&mut self) {
        if self.names.len() + self.files.len() < self.prune_at {
            return;
        }
        self.names.retain(|_, sender| sender.receiver_count() > 0);
        self.files.retain(|_, sender| sender.receiver_count() > 0);
        self.prune_at = PRUNE_FROM.max(2 * (self.names.len() + self.files.len()));
    }
}

/// The paths that begin with this segment, or all: the map's order keeps them together.
fn begin_with<T>(map: &BTreeMap<Path, T>, first: Option<&[u8]>) -> Vec<Path> {
    let Some(first) = first else {
        return map.keys().cloned().collect();
    };
    let from = Path::of_segment(first);
    let range = map.range(from.clone()..).map(|(path, _)| path);
    range
        .take_while(|path| path.starts_with(&from))
        .cloned()
        .collect()
}

/// Says what is new; a name that nobody follows is forgotten.
fn renew<T: PartialEq>(map: &mut BTreeMap<Path, watch::Sender<T>>, path: &Path, now: T) {
    let Some(sender) = map.get(path) else { return };
    if sender.receiver_count() == 0 {
        map.remove(path);
        return;
    }
    sender.send_if_modified(|old| {
        let differs = *old != now;
        if differs {
            *old = now;
        }
        differs
    });
}

fn is_file_name(segment: &[u8]) -> bool {
    segment != b"." && segment != b".." && !segment.iter().any(|byte| b"/\0".contains(byte))
}

fn is_missing(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::NotFound,
        ErrorKind::NotADirectory,
        ErrorKind::InvalidFilename,
    ];
    kinds.contains(&error.kind())
}

fn is_link(path: &FilePath) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

fn read_places(file: &FilePath) -> Result<Arc<[Place]>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("more than {} KB", MOST_BYTES / 1000));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
    let places = text.lines().enumerate().filter_map(|(index, line)| {
        let place = Place::parse(line).transpose()?;
        Some(place.map_err(|why| format!("line {}: {why}", index + 1)))
    });
    places.collect()
}

/// What the kernel tells.
type Events = EventStream<Vec<u8>>;

/// Attends to what the kernel tells, and looks around where it does not.
async fn attend(state: Arc<Mutex<State>>, mut events: Option<Events>) {
    loop {
        let blind = events.is_none() || !lock(&state).root_is_watched();
        tokio::select! {
            event = next(&mut events) => match event {
                Some(Ok(event)) => lock(&state).happened(&event),
                Some(Err(error)) => {
                    tracing::warn!("a directory cannot be watched any more: {error}");
                    events = None;
                }
                None => events = None,
            },
            () = tokio::time::sleep(EVERY), if blind => {
                let mut state = lock(&state);
                state.watch(None);
                state.refresh(None);
            }
        }
    }
}

async fn next(events: &mut Option<Events>) -> Option<io::Result<EventOwned>> {
    match events {
        Some(events) => poll_fn(|cx| Pin::new(&mut *events).poll_next(cx)).await,
        None => std::future::pending().await,
    }
}
