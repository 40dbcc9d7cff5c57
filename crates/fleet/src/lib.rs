//! One page over many machines: sensors send what they recorded to a stream of NATS, hubs read it
//! from there.
//!
//! The only part that knows NATS; the responder and the viewer do without it. Read in this order:
//!
//! - both ends: [`sensor`] has the names and the subjects, [`connection`] is how the servers are
//!   reached, [`patience`] how long is waited after a failure, [`message`] what is sent.
//! - at a sensor: [`publish`] asks for the `last_sent` message, reads what is `unsent` of the
//!   history and sends it; `refusals` are those that are too long. It may `ask` how many sensors
//!   saw its kinds.
//! - at a hub: [`collect`] opens the [`stream`], which may be the `same_stream` as before, and has
//!   a `feed` for each sensor, which reads its messages by `pull`. `ring_writer` writes them into
//!   the hub's ring, from where everything is as with any other request. `shares` keeps one sensor
//!   from filling the stream. `unreadable` deletes messages that ended the connection, and a sensor
//!   that sends many of them is `held_back`. `heartbeats` notes which sensors run, and `answer` says
//!   how many saw a kind.
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
mod refusals;
mod ring_writer;
mod same_stream;
pub mod sensor;
mod shares;
pub mod stream;
mod unreadable;
mod unsent;
