//! A process that is killed, again and again, and what is found afterwards.

mod child;
mod kill;
mod model;
mod script;
