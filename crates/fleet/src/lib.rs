//! One page over many machines: sensors send what they recorded to a NATS stream, and hubs read it
//! from there.
//!
//! This is the only crate that uses NATS; the responder and the viewer do without it. Read in this
//! order:
//!
//! - for both sides: [`sensor`] has the names and the subjects, [`connection`] connects to the
//!   servers, [`patience`] waits after a failure, and [`message`] is what is sent.
//! - at a sensor: [`publish`] asks for the `last_sent` message, reads what is `unsent` from the
//!   history and sends it. `too_long` counts the messages that the servers refuse for their length.
//!   `ask` asks the hub how many sensors saw this sensor's kinds.
//! - at a hub: [`collect`] opens the [`stream`] and finds out whether it is the `same_stream` as
//!   before. Each sensor has a `feed`, which gets its `sensor_messages`: the earlier ones by a
//!   `pull` of its own, the newest from the `tail` of all sensors. `ring_writer` writes them into
//!   the hub's ring; from there on they are requests like all others. `shares` keeps one sensor
//!   from filling the stream. `unreadable` deletes messages with invalid headers, which end the
//!   connection; a sensor that sends many of these is `held_back`. `heartbeats` notes which sensors
//!   run, and `answer` tells sensors how many of them saw a kind.
//! - for the person who sets it up: [`enroll`] and [`check`].

mod answer;
mod ask;
pub mod check;
pub mod collect;
pub mod connection;
pub mod enroll;
mod feed;
mod heartbeats;
mod held_back;
mod last_sent;
pub mod message;
pub mod patience;
pub mod publish;
mod pull;
mod ring_writer;
mod same_stream;
pub mod sensor;
mod sensor_messages;
mod shares;
pub mod stream;
mod tail;
mod too_long;
mod unreadable;
mod unsent;
