//! Hostile clients, and what they send.

use std::time::Duration;

use tokio::time::sleep;

/// What a request is filled with. A test with `x` alone misses faults in splitting, decoding and
/// display.
#[derive(Clone, Copy, Debug)]
pub enum Filler {
    /// One letter.
    Letters,
    /// Noise, which is the same each time.
    Random,
    /// Headers of three bytes: 21,000 of them are 63 kB.
    Headers,
    /// Control characters.
    Controls,
}

impl Filler {
    /// Returns the filler for the client with this number: the four in turn.
    #[must_use]
    pub fn of(number: usize) -> Self {
        [Self::Letters, Self::Random, Self::Headers, Self::Controls][number % 4]
    }

    /// Returns `length` bytes of this filler.
    #[must_use]
    pub fn bytes(self, length: usize) -> Vec<u8> {
        match self {
            Self::Letters => vec![b'x'; length],
            Self::Random => {
                let noise = (1..=length as u64).map(|it| it.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                noise.map(|it| (it >> 29) as u8).collect()
            }
            Self::Headers => b"a:\n".iter().copied().cycle().take(length).collect(),
            Self::Controls => (0..0x20).cycle().take(length).collect(),
        }
    }
}

/// Hostile clients, which end when this is dropped. They have a thread and a runtime of their own
/// with the lowest priority, so that they do not slow down ordinary clients: real attackers bring
/// their own processors.
pub struct Mob(Option<tokio::runtime::Runtime>);

impl Mob {
    /// Starts `count` clients, each with its number. Returns when all have started.
    ///
    /// # Errors
    /// There is no thread for them.
    pub async fn gather<F: Future<Output = ()> + Send + 'static>(
        count: usize,
        behave: impl Fn(usize) -> F + Send + 'static,
    ) -> anyhow::Result<Self> {
        let yielding = || {
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .on_thread_start(yielding)
            .build()?;
        let coming = runtime.spawn(async move {
            for number in 0..count {
                tokio::spawn(behave(number));
                // Like a flood: 7,000 start in one or two seconds.
                if number % 50 == 49 {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        });
        coming.await?;
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Mob {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
