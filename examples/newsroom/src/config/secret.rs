//! Settings that may hold a password.

use std::{ffi::OsStr, fmt::Display};

use clap::{
    Arg, Command,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};

/// Reads a setting and never repeats its text: clap's own message for a value that cannot be read would.
#[derive(Clone)]
pub(super) struct Secret<P>(P);

impl<P> Secret<P> {
    pub(super) fn new(parse: P) -> Self {
        Secret(parse)
    }
}

impl<T, E, P> TypedValueParser for Secret<P>
where
    T: Clone + Send + Sync + 'static,
    E: Display,
    P: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, Error> {
        let read = match value.to_str() {
            Some(text) => (self.0)(text).map_err(|error| error.to_string()),
            None => Err("this is no text".to_owned()),
        };
        read.map_err(|error| {
            let name = argument.map(Arg::to_string).unwrap_or_default();
            command.clone().error(
                ErrorKind::ValueValidation,
                format!("invalid value for '{name}': {error}"),
            )
        })
    }
}
