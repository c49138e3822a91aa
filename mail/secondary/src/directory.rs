//! The route map a secondary has from its shards.

use std::sync::Arc;

use model::Directory;
use tokio::sync::watch;

/// The newest directory that any shard has sent. Clones share it.
#[derive(Clone)]
pub struct Routes(Arc<watch::Sender<Option<Arc<Directory>>>>);

impl Default for Routes {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Routes {
    /// Takes a directory, unless a newer one is here.
    pub fn offer(&self, directory: Arc<Directory>) {
        self.0.send_if_modified(|current| {
            let newer = current.as_ref().is_none_or(|known| known.generation <= directory.generation);
            if newer {
                *current = Some(directory);
            }
            newer
        });
    }

    /// The one in force; none until the first has come.
    pub fn current(&self) -> Option<Arc<Directory>> {
        self.0.borrow().clone()
    }

    /// Waits for the first.
    pub async fn first(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}
