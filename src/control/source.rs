//! Where a configuration comes from, at the start and again at every reload.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::{self, Config, Problems};

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// Read once: there is nothing to read again.
    Stdin,
    /// Made by the program itself (the demo's).
    Made,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {name}: {error}")]
    Unreadable { name: String, error: std::io::Error },
    #[error("{}", .problems.in_file(.name))]
    Wrong { name: String, problems: Problems },
    #[error("the configuration is not from a file that could be read again")]
    NoFile,
}

impl Source {
    /// What the command line calls it: `-` is standard input.
    #[must_use]
    pub fn named(name: &str) -> Source {
        match name {
            "-" => Source::Stdin,
            name => Source::File(PathBuf::from(name)),
        }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Stdin | Source::Made => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Stdin => "<stdin>".to_owned(),
            Source::Made => "<made>".to_owned(),
        }
    }

    /// Reads it for the first time.
    ///
    /// # Errors
    /// It cannot be read, or has problems: all of them, each with its position.
    pub fn load(&self) -> Result<Config, SourceError> {
        let text = match self {
            Source::File(path) => std::fs::read_to_string(path),
            Source::Stdin => {
                let mut text = String::new();
                let read = std::io::stdin().read_to_string(&mut text);
                read.map(|_| text)
            }
            Source::Made => return Err(SourceError::NoFile),
        };
        let name = self.name();
        match text {
            Ok(text) => {
                config::load(&text).map_err(|problems| SourceError::Wrong { name, problems })
            }
            Err(error) => Err(SourceError::Unreadable { name, error }),
        }
    }

    /// Reads it again.
    ///
    /// # Errors
    /// As [`Source::load`], and when it is no file.
    pub fn load_again(&self) -> Result<Config, SourceError> {
        match self {
            Source::File(_) => self.load(),
            Source::Stdin | Source::Made => Err(SourceError::NoFile),
        }
    }
}
