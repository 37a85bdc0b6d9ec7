//! The client side of the command line: `avocet pub` and `avocet sub`.

pub(crate) mod connection;
