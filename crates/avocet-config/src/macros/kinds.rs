//! Sections that come in kinds.

/// Declares a section that comes in several kinds, told apart by one key.
///
/// ```
/// # #![allow(unexpected_cfgs)]
/// use avocet_config::{Secret, kinds, settings};
///
/// settings! {
///     /// Users in a file.
///     pub struct FileConfig {
///         /// The file.
///         pub path: std::path::PathBuf = "users".into(),
///     }
/// }
/// settings! {
///     /// Tokens that prove themselves.
///     pub struct JwtConfig {
///         /// What they are signed with.
///         pub secret: Secret = Secret::new(""), required,
///     }
/// }
/// kinds! {
///     /// How a client proves who it is.
///     pub enum AuthenticatorConfig by "type" {
///         /// Users in a file.
///         File(FileConfig) = "file",
///         /// Tokens that prove themselves. Known, but refused, without the feature.
///         #[cfg(feature = "jwt")]
///         Jwt(JwtConfig) = "jwt",
///     }
/// }
/// # fn main() {}
/// ```
///
/// A field may then be `Vec<AuthenticatorConfig>`: `[[auth.authenticators]]`, `type = "file"`.
#[macro_export]
macro_rules! kinds {
    (
        $(#[doc = $enum_doc:literal])*
        $vis:vis enum $name:ident by $tag:literal {
            $(
                $(#[doc = $doc:literal])*
                $(#[cfg(feature = $feature:literal)])?
                $variant:ident($type:ty) = $word:literal
            ),+ $(,)?
        }
    ) => {
        $(#[doc = $enum_doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis enum $name {
            $( $(#[doc = $doc])* $(#[cfg(feature = $feature)])? $variant($type), )+
        }

        impl $crate::Field for $name {
            fn read(value: &$crate::Value, reader: &mut $crate::Reader) -> Option<Self> {
                let kinds = [$( $(#[cfg(feature = $feature)])? $word, )+];
                let unbuilt: &[(&'static str, &'static str)] =
                    &[$( $( #[cfg(not(feature = $feature))] ($word, $feature), )? )+];
                match $crate::__private::kind_of(value, $tag, &kinds, unbuilt, reader)? {
                    $(
                        $(#[cfg(feature = $feature)])?
                        $word => {
                            let read = $crate::__private::read_kind::<$type>($tag, value, reader);
                            Some(Self::$variant(read))
                        }
                    )+
                    _ => None,
                }
            }

            fn validate(&self, value: Option<&$crate::Value>, reader: &mut $crate::Reader) {
                match self {
                    $(
                        $(#[cfg(feature = $feature)])?
                        Self::$variant(inner) => $crate::Field::validate(inner, value, reader),
                    )+
                }
            }

            fn shape() -> $crate::Shape {
                $crate::Shape::Kinds {
                    doc: concat!($($enum_doc, "\n"),*),
                    tag: $tag,
                    kinds: ::std::vec![$(
                        $(#[cfg(feature = $feature)])?
                        (
                            $word,
                            concat!($($doc, "\n"),*),
                            <$type as $crate::Field>::shape(),
                        ),
                    )+],
                }
            }

            fn tree(&self) -> $crate::Tree {
                match self {
                    $(
                        $(#[cfg(feature = $feature)])?
                        Self::$variant(inner) => {
                            let tag = ($tag, $crate::Tree::Value(format!("{:?}", $word)));
                            let entries = $crate::Section::entries(inner);
                            $crate::Tree::Table(::core::iter::once(tag).chain(entries).collect())
                        }
                    )+
                }
            }
        }
    };
}
