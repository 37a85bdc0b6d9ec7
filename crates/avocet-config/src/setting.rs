//! Plain types as settings: booleans, numbers, texts, paths, addresses.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::field::{Setting, Unfit};
use crate::reader::nearest;
use crate::value::{Data, Value, quote};

impl Setting for bool {
    fn read(value: &Value) -> Result<Self, Unfit> {
        if let Data::Boolean(it) = value.data { Ok(it) } else { Err(Unfit::found(value)) }
    }

    fn accepted() -> String {
        "true or false".to_owned()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer {
    ($($type:ident),*) => {
        $(
            impl Setting for $type {
                fn read(value: &Value) -> Result<Self, Unfit> {
                    let Data::Integer(it) = value.data else { return Err(Unfit::found(value)) };
                    Self::try_from(it).map_err(|_| Unfit(format!("{it} is out of range")))
                }

                fn accepted() -> String {
                    Self::accepted_within(None, None)
                }

                fn accepted_within(low: Option<&str>, high: Option<&str>) -> String {
                    // The ends of 64 bits are no limits that anybody meets.
                    let wide = Self::BITS == 64;
                    let least = (!wide || Self::MIN == 0).then(|| Self::MIN.to_string());
                    let most = (!wide).then(|| Self::MAX.to_string());
                    match (low.or(least.as_deref()), high.or(most.as_deref())) {
                        (Some(low), Some(high)) => format!("an integer from {low} to {high}"),
                        (Some(low), None) => format!("an integer from {low}"),
                        (None, Some(high)) => format!("an integer up to {high}"),
                        (None, None) => "an integer".to_owned(),
                    }
                }

                fn write(&self) -> String {
                    self.to_string()
                }
            }
        )*
    };
}

integer!(u8, u16, u32, u64, usize, i8, i16, i32, i64);

impl Setting for f64 {
    fn read(value: &Value) -> Result<Self, Unfit> {
        match value.data {
            Data::Float(it) if it.is_finite() => Ok(it),
            // An integer of a configuration is far from 2^53.
            Data::Integer(it) => Ok(it as Self),
            Data::Float(_)
            | Data::Boolean(_)
            | Data::Text(_)
            | Data::Datetime(_)
            | Data::List(_)
            | Data::Table(_) => Err(Unfit::found(value)),
        }
    }

    fn accepted() -> String {
        "a number".to_owned()
    }

    fn write(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for String {
    fn read(value: &Value) -> Result<Self, Unfit> {
        value.text().map(str::to_owned).ok_or_else(|| Unfit::found(value))
    }

    fn accepted() -> String {
        "a text".to_owned()
    }

    fn write(&self) -> String {
        quote(self)
    }
}

impl Setting for PathBuf {
    fn read(value: &Value) -> Result<Self, Unfit> {
        match value.text() {
            Some("") => Err(Unfit("the path is empty".to_owned())),
            Some(text) => Ok(Self::from(text)),
            None => Err(Unfit::found(value)),
        }
    }

    fn accepted() -> String {
        "a path".to_owned()
    }

    fn write(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

macro_rules! parsed {
    ($($type:ty: $accepted:literal),* $(,)?) => {
        $(
            impl Setting for $type {
                fn read(value: &Value) -> Result<Self, Unfit> {
                    value.text().and_then(|it| it.parse().ok()).ok_or_else(|| Unfit::found(value))
                }

                fn accepted() -> String {
                    $accepted.to_owned()
                }

                fn write(&self) -> String {
                    quote(&self.to_string())
                }
            }
        )*
    };
}

parsed! {
    IpAddr: "an IP address such as \"127.0.0.1\" or \"::1\"",
    SocketAddr: "an IP address and port such as \"127.0.0.1:1883\" or \"[::1]:1883\"",
}

crate::setting!(bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, f64, String, PathBuf);
crate::setting!(IpAddr, SocketAddr);

/// Why a value is none of the words of a `choice!`.
pub fn no_choice(value: &Value, words: &[&str]) -> Unfit {
    let Unfit(message) = Unfit::found(value);
    match value.text().and_then(|text| nearest(text, words.iter().copied())) {
        Some(word) => Unfit(format!("{message}; did you mean {word:?}?")),
        None => Unfit(message),
    }
}
