//! The requests of an endpoint, stated once.

/// Declares the requests that a provider makes to an endpoint, as functions, and with them the
/// rules that its manifest needs: what is not in the table cannot be asked for, and what is in it is
/// allowed.
///
/// Each `*` of a path takes the next argument as one segment, each `*%2F*` as one that may have slashes,
/// which are escaped, and a last `**` takes one as any number of segments; all are percent-encoded, an `@` at a
/// path's beginning too. An argument with a segment that is empty, `.` or `..` names nothing, nor does one
/// with a slash for a `*`: the request answers "not found" unsent. A path may end in a slash, and is asked
/// so. What all requests have in common (headers, a judge of answers) is added by the function after `with`.
///
/// ```
/// omnifs_sdk::routes! {
///     /// What is asked of the tracker.
///     pub mod api = "tracker" {
///         get issues() = "/issues/",
///         get issue(number) = "/issues/*",
///         get file(branch, path) = "/code/*%2F*/**",
///         post graphql() = "/graphql",
///     }
/// }
/// assert_eq!(api::ENDPOINT, "tracker");
/// assert_eq!(api::RULES[1].path, "/issues/*");
/// assert_eq!(api::issues().query("page", 2).path(), "/issues/?page=2");
/// assert_eq!(api::issue(7).path(), "/issues/7");
/// assert!(api::issue("7/edit").send().is_err());
/// assert_eq!(api::file("a/b", "src/lib.rs").path(), "/code/a%2Fb/src/lib.rs");
/// ```
///
/// A function with another number of parameters than its path has places does not compile:
///
/// ```compile_fail
/// omnifs_sdk::routes! { mod api = "tracker" { get issue() = "/issues/*" } }
/// ```
#[macro_export]
macro_rules! routes {
    ($(#[$meta:meta])* $vis:vis mod $module:ident = $endpoint:literal $(with $prepare:path)? { $(
        $(#[$row:meta])* $method:ident $name:ident ( $($param:ident),* $(,)? ) = $path:literal
    ),* $(,)? }) => {
        $(#[$meta])*
        $vis mod $module {
            /// The endpoint's name.
            #[allow(dead_code)]
            pub const ENDPOINT: &str = $endpoint;

            /// What the endpoint has to allow.
            #[allow(dead_code)]
            pub const RULES: &[$crate::manifest::Rule] = &[
                $( $crate::manifest::$method($path) ),*
            ];

            fn prepare_request(request: $crate::http::Request) -> $crate::http::Request {
                $( let request = $prepare(request); )?
                request
            }

            $(
                $(#[$row])*
                pub fn $name( $( $param: impl ::std::fmt::Display ),* ) -> $crate::http::Request {
                    const RULE: $crate::manifest::Rule = $crate::manifest::$method($path);
                    const PARAMETERS: &[&str] = &[ $( stringify!($param) ),* ];
                    const {
                        assert!(
                            RULE.places() == PARAMETERS.len(),
                            "the path has another number of places than the function has parameters"
                        );
                    }
                    prepare_request($crate::http::Request::of($endpoint, &RULE, &[ $( &$param ),* ]))
                }
            )*
        }
    };
}
