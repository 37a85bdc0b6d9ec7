//! The macros with which crates declare what can be set.

mod kinds;

/// Declares a section: a struct of public fields, each with its documentation, type and default.
///
/// ```
/// use avocet_config::{Check, Size, settings};
///
/// settings! {
///     /// What MQTT allows on this broker.
///     pub struct MqttConfig {
///         /// The largest packet a client may send.
///         pub max_packet_size: Size = Size::mebibytes(1), in Size::bytes(128)..,
///         /// How many QoS 1 and 2 messages may be in flight to one client.
///         pub max_inflight: u16 = 32, in 1..=65535,
///         /// The file with the words, if any.
///         pub words: Option<std::path::PathBuf> = None,
///         /// Where CoAP comes in. Known, but refused, without the feature.
///         #[cfg(feature = "coap")]
///         pub coap: Option<String> = None,
///     }
///     validate = MqttConfig::check;
/// }
///
/// impl MqttConfig {
///     fn check(&self, check: &mut Check<'_>) {
///         if self.words.is_some() && self.max_inflight > 1000 {
///             check.mistake("words", "cannot be had with more than 1000 in flight");
///         }
///     }
/// }
/// # #[allow(unexpected_cfgs)] fn main() {}
/// ```
///
/// After the default may follow `, in RANGE` and `, required` (the key must be set wherever the
/// section is; the default is a placeholder). `, flatten` makes the fields of another section
/// fields of this one. `validate = path;` after the struct is optional, and
/// so is then `absent = TABLE;`, the keys of what is not built in, each with what it would be: they
/// are refused in words of their own.
// `$required` matches nothing: it is there because a repetition must hold a variable.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $section_doc:literal])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[cfg(feature = $feature:literal)])?
                pub $field:ident : $type:ty = $default:expr
                $(, in $range:expr)?
                $(, required $($required:lifetime)?)?
                $(, flatten $($flatten:lifetime)?)?
            ),* $(,)?
        }
        $(validate = $validate:expr;)?
        $(absent = $absent:expr;)?
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $(
                $(#[doc = $doc])*
                $(#[cfg(feature = $feature)])?
                pub $field: $type,
            )*
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $( $(#[cfg(feature = $feature)])? $field: $default, )* }
            }
        }

        impl $crate::Section for $name {
            const DOC: &'static str = concat!($($section_doc, "\n"),*);

            #[allow(clippy::vec_init_then_push, unused_mut, reason = "any number of fields")]
            fn fields() -> ::std::vec::Vec<$crate::FieldDoc> {
                #[allow(unused_variables, reason = "a section may have no field")]
                let defaults = <Self as ::core::default::Default>::default();
                let mut fields = ::std::vec::Vec::new();
                $(
                    $(#[cfg(feature = $feature)])?
                    $crate::__add_field!(fields, $type, $crate::FieldDoc {
                        name: $crate::__private::plain(stringify!($field)),
                        doc: concat!("", $($doc, "\n"),*),
                        feature: None $(.or(Some($feature)))?,
                        required: false $(|| true $($required)?)?,
                        shape: $crate::__field_shape!($type $(, $range)?),
                        default: $crate::Field::tree(&defaults.$field),
                    } $(, flatten $($flatten)?)?);
                )*
                fields
            }

            #[allow(unused_variables, reason = "a section may have no field")]
            fn merge_fields(&mut self, table: &mut $crate::TableReader<'_>) {
                $(
                    $(#[cfg(feature = $feature)])?
                    $crate::__merge_field!(
                        table, self.$field, $field $(, $range)? $(, flatten $($flatten)?)?
                    );
                    $(
                        #[cfg(not(feature = $feature))]
                        table.unbuilt(stringify!($field), $feature);
                    )?
                )*
                $(table.absent($absent);)?
            }

            #[allow(unused_variables, reason = "a section may have no field")]
            fn validate_fields(&self, check: &mut $crate::Check<'_>) {
                $(
                    $(#[cfg(feature = $feature)])?
                    {
                        $crate::__validate_field!(
                            check, self.$field, $field $(, flatten $($flatten)?)?
                        );
                        $(
                            check.required::<$type>(stringify!($field));
                            $($required)?
                        )?
                    }
                )*
            }

            #[allow(unused_variables, reason = "the check is optional")]
            fn validate(&self, check: &mut $crate::Check<'_>) {
                $($validate(self, check);)?
            }

            #[allow(clippy::vec_init_then_push, unused_mut, reason = "any number of fields")]
            fn entries(&self) -> ::std::vec::Vec<(&'static str, $crate::Tree)> {
                let mut entries = ::std::vec::Vec::new();
                $(
                    $(#[cfg(feature = $feature)])?
                    $crate::__add_entry!(
                        entries, self.$field, $field $(, flatten $($flatten)?)?
                    );
                )*
                entries
            }
        }

        impl $crate::Field for $name {
            fn read(value: &$crate::Value, reader: &mut $crate::Reader) -> Option<Self> {
                let mut read = <Self as ::core::default::Default>::default();
                $crate::Field::update(&mut read, value, reader);
                Some(read)
            }

            fn update(&mut self, value: &$crate::Value, reader: &mut $crate::Reader) {
                $crate::__private::merge(self, value, reader);
            }

            fn validate(&self, value: Option<&$crate::Value>, reader: &mut $crate::Reader) {
                $crate::__private::validate(self, value, reader);
            }

            fn shape() -> $crate::Shape {
                $crate::__private::shape::<Self>()
            }

            fn tree(&self) -> $crate::Tree {
                $crate::Tree::Table($crate::Section::entries(self))
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __field_shape {
    ($type:ty) => {
        <$type as $crate::Field>::shape()
    };
    ($type:ty, $range:expr) => {
        $crate::__private::limits::<$type, _>(<$type as $crate::Field>::shape(), &($range))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __add_field {
    ($fields:ident, $type:ty, $doc:expr, flatten) => {
        $fields.extend(<$type as $crate::Section>::fields())
    };
    ($fields:ident, $type:ty, $doc:expr) => {
        $fields.push($doc)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __add_entry {
    ($entries:ident, $field:expr, $name:ident, flatten) => {
        $entries.extend($crate::Section::entries(&$field))
    };
    ($entries:ident, $field:expr, $name:ident) => {
        $entries.push(($crate::__private::plain(stringify!($name)), $crate::Field::tree(&$field)))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __validate_field {
    ($check:ident, $field:expr, $name:ident, flatten) => {
        $crate::Section::validate_fields(&$field, $check);
        $crate::Section::validate(&$field, $check);
    };
    ($check:ident, $field:expr, $name:ident) => {
        $check.field(stringify!($name), &$field);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __merge_field {
    ($table:ident, $target:expr, $field:ident, flatten) => {
        $crate::Section::merge_fields(&mut $target, $table)
    };
    ($table:ident, $target:expr, $field:ident) => {
        $table.field(stringify!($field), &mut $target)
    };
    ($table:ident, $target:expr, $field:ident, $range:expr) => {
        $table.field_within(stringify!($field), &mut $target, &($range))
    };
}

/// Makes types that implement [`Setting`](crate::Setting) usable as fields.
#[macro_export]
macro_rules! setting {
    ($($type:ty),* $(,)?) => {
        $(
            impl $crate::Field for $type {
                fn read(value: &$crate::Value, reader: &mut $crate::Reader) -> Option<Self> {
                    reader.setting(value)
                }

                fn shape() -> $crate::Shape {
                    $crate::Shape::Value {
                        accepted: <Self as $crate::Setting>::accepted(),
                        choices: <Self as $crate::Setting>::choices(),
                    }
                }

                fn tree(&self) -> $crate::Tree {
                    $crate::Tree::Value($crate::Setting::write(self))
                }
            }
        )*
    };
}

/// Declares an enum of names, of which a setting is one.
///
/// ```
/// avocet_config::choice! {
///     /// What happens to a message for a full queue.
///     pub enum QueueFull {
///         /// The oldest message makes room.
///         DropOldest = "drop_oldest",
///         /// The message is refused.
///         Refuse = "refuse",
///     }
/// }
/// assert_eq!(QueueFull::Refuse.name(), "refuse");
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $enum_doc:literal])*
        $vis:vis enum $name:ident {
            $( $(#[doc = $doc:literal])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[doc = $enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $( $(#[doc = $doc])* $variant, )+
        }

        impl $name {
            /// Its name in the configuration.
            #[allow(dead_code, reason = "not every enum is asked for its names")]
            $vis const fn name(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::Setting for $name {
            fn read(value: &$crate::Value) -> Result<Self, $crate::Unfit> {
                match value.text() {
                    $( Some($word) => Ok(Self::$variant), )+
                    _ => Err($crate::__private::no_choice(value, &[$($word),+])),
                }
            }

            fn accepted() -> String {
                [$(concat!("\"", $word, "\"")),+].join(" | ")
            }

            fn choices() -> &'static [(&'static str, &'static str)] {
                &[$(($word, concat!($($doc, "\n"),*))),+]
            }

            fn write(&self) -> String {
                format!("{:?}", self.name())
            }
        }

        $crate::setting!($name);
    };
}
