//! The visitors' end of the reader: whoever looks takes the view that is there.

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

/// Pause of who waits for a look, before it is asked for again.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Without a look for this long, the reader stands still: memcached is given up after a second.
const STANDSTILL: Duration = Duration::from_secs(6);

/// The visitors' end: has the newest view.
pub struct Reader {
    pub(super) views: watch::Receiver<Arc<View>>,
    pub(super) hub_counts: watch::Receiver<Arc<HubCounts>>,
    pub(super) pulse: Arc<Pulse>,
}

/// A reader that is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The newest sequence number that was seen.
    pub total: u64,
    /// How often the counters, and the slots that lacked something, were read since the start.
    pub looks: u64,
}

impl Reader {
    /// Returns the ring as it is seen now. Never waits for what is new in it to be described: while
    /// the reader is about that, it returns what is there.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn view(&self) -> Result<Arc<View>, Arc<StoreError>> {
        self.pulse.ask().await;
        let mut view = Arc::clone(&self.views.borrow());
        if !view.is_read() {
            // An error is the end of the reader, and with it soon of the program.
            if let Ok(read) = self.views.clone().wait_for(|view| view.is_read()).await {
                view = Arc::clone(&read);
            }
        }
        match &view.away {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(view),
        }
    }

    /// Returns the ring as it was last seen, for who has asked before.
    #[must_use]
    pub fn newest(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Returns how many sensors of the hub saw a kind; `None` where no hub has said so lately.
    pub(crate) fn seen_at_hub(&self, kind: &str) -> Option<SeenBy> {
        let counts = self.hub_counts.borrow();
        let sensors = *counts.kinds.get(kind)?;
        let of = counts.of;
        Some(SeenBy { sensors, of })
    }

    /// Returns what tells of each new view.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Returns how many are told of each new view.
    pub(crate) fn watching(&self) -> u64 {
        self.pulse.watching()
    }

    /// Waits until a look that begins from now on has ended, and all that it found is described and
    /// handed over.
    pub(crate) async fn look_once_more(&self) {
        // The next that ends may have begun before now; the one after it has not.
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

    /// Tells how the reader is.
    ///
    /// # Errors
    /// memcached is away, or was not looked at for six seconds; the error is a sentence.
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
