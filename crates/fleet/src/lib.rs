//! One page over many machines: sensors send what they recorded to a stream of NATS, hubs read it
//! from there.
//!
//! The only part that knows NATS; the responder and the viewer do without it. At a sensor,
//! [`publish`] follows the history with a `cursor` and sends each request as a [`message`] to the
//! subject of that [`sensor`]; `refusals` are those that are too long. At a hub, [`collect`] has a
//! `feed` for each sensor, which reads the [`stream`] by `pull`, and `ring_writer` writes into the
//! hub's ring, from where everything is as with any other request; `shares` keeps one sensor from
//! filling the stream, and `unreadable` its messages from ending the connection. A sensor may `ask`
//! how many sensors saw its kinds, and a hub may `answer`. [`connection`] is how both reach the
//! server; [`enroll`] and [`check`] are for the person who sets it up.

mod answer;
mod ask;
pub mod check;
pub mod collect;
pub mod connection;
mod cursor;
pub mod enroll;
mod feed;
mod heartbeats;
mod last_sent;
pub mod message;
pub mod patience;
pub mod publish;
mod pull;
mod refusals;
mod ring_writer;
pub mod sensor;
mod shares;
pub mod stream;
mod unreadable;
