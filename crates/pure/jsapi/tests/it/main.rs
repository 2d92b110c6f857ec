//! Against texts recorded from the Go server 2.15.1.

mod events;
mod hostile;
mod refused;
mod replies;
