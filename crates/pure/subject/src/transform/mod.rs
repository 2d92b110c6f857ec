//! Subject transforms: `orders.*.*` → `shard.{{partition(8,1)}}.$2`.
//!
//! [`parse`] turns a source and a destination into a [`Transform`]; [`apply`] rewrites subjects with it; [`functions`]
//! has what the functions do to one token.

use std::fmt;

pub mod apply;
pub mod functions;
pub mod parse;

pub use parse::validate_destination;

/// A compiled transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    source: Box<[u8]>,
    destination: Box<[u8]>,
    parts: Box<[Part]>,
    /// The position of the source's `>`, if it ends in one.
    rest_at: Option<usize>,
}

/// One token of the destination. Positions count the tokens of the source from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Wildcard(usize),
    Partition { buckets: u32, of: Option<Box<[usize]>> },
    Random { bound: u64 },
    Token { at: usize, function: functions::TokenFunction },
    Rest,
}

/// Why a transform cannot be made or applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformError {
    /// The source, the destination or the subject is not valid, or only one of source and destination ends in `>`.
    InvalidSubject,
    /// The subject is not one that the source stands for.
    NoMatch,
    /// A token of the destination is at fault.
    Destination {
        /// What is wrong with it.
        fault: Fault,
        /// The token; empty where the message does not name it.
        token: String,
        /// The index that lies outside the source, where the message names it.
        index: Option<i64>,
    },
}

/// What can be wrong with a token of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Empty, with blanks, or behind `>`.
    InvalidTransform,
    /// Strict transforms must use every wildcard of the source.
    NotUsingAll,
    /// `{{…}}` that is no known function.
    UnknownFunction,
    /// More than the source has wildcards.
    IndexOutOfRange,
    /// Too few arguments.
    NotEnoughArguments,
    /// Too many arguments.
    TooManyArguments,
    /// Not a number, too large a number, or a bad delimiter.
    InvalidArgument,
    /// Strict transforms know only `{{wildcard(n)}}`.
    OnlyWildcard,
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Fault::InvalidTransform => "invalid transform",
            Fault::NotUsingAll => "not using all of the token wildcard(s)",
            Fault::UnknownFunction => "unknown function",
            Fault::IndexOutOfRange => "wildcard index out of range",
            Fault::NotEnoughArguments => "not enough arguments passed to the function",
            Fault::TooManyArguments => "too many arguments passed to the function",
            Fault::InvalidArgument => "function argument is invalid or in the wrong format",
            Fault::OnlyWildcard => {
                "the only mapping function allowed for import transforms is {{Wildcard()}}"
            }
        }
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransformError::InvalidSubject => f.write_str("invalid subject"),
            TransformError::NoMatch => f.write_str("no matching transforms available"),
            TransformError::Destination { fault, token, index } => {
                write!(f, "invalid mapping destination: {}", fault.text())?;
                if !token.is_empty() {
                    write!(f, " in {token}")?;
                }
                match index {
                    Some(index) => write!(f, ": [{index}]"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for TransformError {}

impl Transform {
    /// The pattern of the subjects that are rewritten.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The destination as it was written.
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }
}
