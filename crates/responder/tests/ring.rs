//! Compares the ring with a simple model: several writers, crashes, lost answers and a memcached
//! that loses its values, in any order.
//!
//! `PROPTEST_CASES=1000 cargo test -p forever200-responder --test ring` tries more cases than CI
//! does, and other ones.

mod model;

use std::time::Duration;

use forever200_responder::recorder::Recorder;
use forever200_ring::Store;
use forever200_testkit::{Between, Fault, Memcached, until};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::sync::watch;

use crate::model::{Event, Model, record, set};

/// Number of cases that CI tries, the same cases each time. They take some ten seconds.
const CASES: u32 = 40;
/// Most events of a case.
const EVENTS: usize = 30;

fn event() -> impl Strategy<Value = Event> {
    let writer = 0..3_usize;
    let fault = prop_oneof![
        3 => Just(Fault::CutAnswer(0)),
        1 => (1..20_usize).prop_map(Fault::CutAnswer),
        2 => Just(Fault::CutCommand),
        1 => Just(Fault::Nonsense(b"what?\r\n".to_vec())),
        1 => (1..30_u64).prop_map(|millis| Fault::Delay(Duration::from_millis(millis))),
    ];
    prop_oneof![
        8 => (writer.clone(), prop_oneof![1..4_u64, 1..60_u64, 90..130_u64])
            .prop_map(|(writer, count)| Event::Requests { writer, count }),
        4 => (writer.clone(), fault).prop_map(|(writer, fault)| Event::Fault { writer, fault }),
        2 => writer.prop_map(|writer| Event::Crash { writer }),
        1 => Just(Event::Emptied),
        2 => Just(Event::Saved),
        2 => Just(Event::Reverted),
        3 => Just(Event::Look),
        2 => Just(Event::Settle),
        4 => (0..8_u64).prop_map(Event::Rest),
    ]
}

#[test]
fn the_ring_is_as_the_model_whatever_happens() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let asked_for = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if asked_for {
        Config::default().cases
    } else {
        CASES
    };
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let rng = if asked_for {
        TestRng::from_seed(RngAlgorithm::ChaCha, &seed())
    } else {
        TestRng::deterministic_rng(RngAlgorithm::ChaCha)
    };
    // Only a single writer is certain to know all that memcached loses.
    let writers = prop_oneof![3 => Just(1_usize), 2 => 2..4_usize];
    let cases = (writers, vec(event(), 1..EVENTS));
    let result = TestRunner::new_with_rng(config, rng).run(&cases, |(writers, events)| {
        let played = runtime.block_on(async {
            let mut model = Model::start(writers).await?;
            for event in &events {
                model.play(event).await?;
            }
            model.play(&Event::Settle).await
        });
        played.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    match result {
        Err(TestError::Fail(reason, (writers, events))) => {
            anyhow::bail!("{reason}\n{writers} writers, {events:#?}")
        }
        result => Ok(result?),
    }
}

/// Returns a random seed: the operating system seeds the standard library's hasher.
fn seed() -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut seed = [0; 32];
    seed.chunks_mut(8)
        .for_each(|part| part.copy_from_slice(&RandomState::new().hash_one(()).to_be_bytes()));
    seed
}

/// A crash and then a loss of memcached, with a second between them, lose nothing.
#[tokio::test]
async fn a_writer_keeps_what_the_one_before_it_wrote() -> anyhow::Result<()> {
    for loss in [Event::Emptied, Event::Reverted] {
        let mut model = Model::start(1).await?;
        let requests = Event::Requests {
            writer: 0,
            count: 70,
        };
        let crash = Event::Crash { writer: 0 };
        for event in [
            &requests,
            &Event::Settle,
            &Event::Saved,
            &requests,
            &crash,
            &Event::Compare,
            &loss,
            &Event::Settle,
        ] {
            model.play(event).await?;
        }
    }
    Ok(())
}

/// An answer to a draw that comes too late is not taken for the answer to the next draw.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_nobodys() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let (line, reader) = (
        Between::start(memcached.address()).await?,
        Store::new(memcached.address()),
    );
    let (recorder, (_stop, stopping)) = (Recorder::default(), watch::channel(false));
    tokio::spawn(
        recorder
            .clone()
            .run(Store::new(line.address()), false, stopping),
    );
    recorder.record(record(0, 0)).await;
    until("the first is recorded", || async {
        reader.record(1).await.ok().flatten()
    })
    .await?;
    line.once(Fault::Delay(Duration::from_millis(1500)));
    (1..=3).for_each(|number| drop(recorder.record(record(0, number))));
    until("the answer is late", || async {
        (line.happened() == 1).then_some(())
    })
    .await?;
    (4..=6).for_each(|number| drop(recorder.record(record(0, number))));
    let snapshot = until("all are recorded", || async {
        reader
            .snapshot()
            .await
            .ok()
            .filter(|snapshot| snapshot.ring.newest_first().len() == 7)
    })
    .await?;
    let raws: Vec<_> = snapshot
        .ring
        .newest_first()
        .iter()
        .rev()
        .map(|record| record.raw.clone())
        .collect();
    assert_eq!(
        raws,
        (0..7)
            .map(|number| record(0, number).raw)
            .collect::<Vec<_>>()
    );
    Ok(())
}

/// Another program may have stored the largest number: it wraps to 0 when memcached adds to it.
#[tokio::test]
async fn counters_at_the_end_of_numbers_are_begun_anew() -> anyhow::Result<()> {
    let mut model = Model::start(1).await?;
    for key in ["cursor", "silent"] {
        set(
            &model.memcached,
            &format!("forever200:{key}"),
            b"18446744073709551615",
        )
        .await?;
    }
    model.writers[0].recorder.silent(22);
    model
        .play(&Event::Requests {
            writer: 0,
            count: 3,
        })
        .await?;
    model.play(&Event::Settle).await?;
    until("both are mended", || async {
        let snapshot = model.reader.snapshot().await.ok()?;
        (snapshot.cursor < 10 && snapshot.silent == 1).then_some(())
    })
    .await
}
