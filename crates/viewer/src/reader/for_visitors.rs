//! How visitors get the views of the reader's thread: at once, the newest that there is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use forever200_ring::{HubCounts, StoreError};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::history::sensors::SeenBy;
use crate::reader::pulse::Pulse;
use crate::reader::view::View;

/// Pause between two checks whether an awaited look has ended.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Without a look for this long, the reader hangs: a read of memcached ends after a second at most.
const STANDSTILL: Duration = Duration::from_secs(6);

/// The handle by which visitors get views from the reader's thread. The thread itself runs
/// `Follower`.
pub struct Reader {
    pub(super) views: watch::Receiver<Arc<View>>,
    pub(super) hub_counts: watch::Receiver<Arc<HubCounts>>,
    pub(super) pulse: Arc<Pulse>,
}

/// The state of a reader that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The newest sequence number that was seen, which is the cursor.
    pub total: u64,
    /// How many looks since the start read the counters and incomplete slots, not only the cursor.
    pub looks: u64,
}

impl Reader {
    /// Returns the view of the ring at this moment. Has a resting reader look again, but does not
    /// wait until new records are described: then it returns the last view.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn view(&self) -> Result<Arc<View>, Arc<StoreError>> {
        self.pulse.ask().await;
        let mut view = Arc::clone(&self.views.borrow());
        if !view.is_read() {
            // An error means that the reader has ended; the program soon ends as well.
            if let Ok(read) = self.views.clone().wait_for(|view| view.is_read()).await {
                view = Arc::clone(&read);
            }
        }
        match &view.away {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(view),
        }
    }

    /// Returns the last view, without asking for a look.
    #[must_use]
    pub fn newest(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Returns how many sensors of the hub saw a kind; `None` where memcached has no count of a
    /// hub.
    pub(crate) fn seen_at_hub(&self, kind: &str) -> Option<SeenBy> {
        let counts = self.hub_counts.borrow();
        let sensors = *counts.kinds.get(kind)?;
        let of = counts.of;
        Some(SeenBy { sensors, of })
    }

    /// Returns a receiver of each new view.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Returns how many visitors get each new view.
    pub(crate) fn watching(&self) -> u64 {
        self.pulse.watching()
    }

    /// Waits until a look that begins after this call has ended, and all records are described and
    /// handed over.
    pub(crate) async fn look_once_more(&self) {
        // The next look to end may have begun before this call; the look after it has not.
        let next = self.pulse.ended_looks() + 2;
        loop {
            self.pulse.ask().await;
            let is_all_described = self.views.borrow().is_all_described;
            if self.pulse.ended_looks() >= next && is_all_described {
                return;
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Returns the state of the reader.
    ///
    /// # Errors
    /// memcached is unreachable, or no look has ended for six seconds. The error is a sentence.
    pub async fn health(&self) -> anyhow::Result<Health> {
        let view = self.view().await?;
        if self.pulse.since_look() > STANDSTILL {
            bail!("the ring was not read for {} s", STANDSTILL.as_secs());
        }
        Ok(Health {
            total: view.snapshot.cursor,
            looks: self.pulse.deep_looks(),
        })
    }
}
