use std::{borrow::Cow, fmt, marker::PhantomData};

/// What those who enqueue and those who work share: a name, the type of the arguments and that of the output.
///
/// The name is the stable identity of the work, 1 to 128 bytes: it is what the database knows, so types may be renamed and
/// moved. Two kinds with one name are the same kind.
///
/// # Examples
///
/// ```
/// use nexios_jobs::Kind;
///
/// pub const RESIZE: Kind<String, u64> = Kind::new("resize picture");
/// assert_eq!(RESIZE.name(), "resize picture");
/// ```
///
/// ```compile_fail
/// const NAMELESS: nexios_jobs::Kind<()> = nexios_jobs::Kind::new("");
/// ```
pub struct Kind<Args, Output = ()> {
    name: &'static str,
    types: PhantomData<fn(Args) -> Output>,
}

impl<Args, Output> Kind<Args, Output> {
    /// Names a kind of work.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::Kind;
    ///
    /// /// In the code that both the web process and the worker have.
    /// pub const SEND: Kind<Vec<String>, u64> = Kind::new("send newsletter");
    /// assert_eq!(SEND.name(), "send newsletter");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the name is empty or longer than 128 bytes; in a `const` it does not compile.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            !name.is_empty() && name.len() <= 128,
            "the name of a kind of jobs has 1 to 128 bytes"
        );
        Self {
            name,
            types: PhantomData,
        }
    }

    /// The name.
    ///
    /// # Examples
    ///
    /// ```
    /// use nexios_jobs::Kind;
    ///
    /// const RESIZE: Kind<String, u64> = Kind::new("resize picture");
    /// assert_eq!(format!("jobs.{}", RESIZE.name().replace(' ', "_")), "jobs.resize_picture");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<Args, Output> Clone for Kind<Args, Output> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Args, Output> Copy for Kind<Args, Output> {}

impl<Args, Output> fmt::Debug for Kind<Args, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.name).finish()
    }
}

/// So that what takes the name of a kind, such as one that came in a URL, takes the kind as well.
impl<Args, Output> From<Kind<Args, Output>> for Cow<'static, str> {
    fn from(kind: Kind<Args, Output>) -> Self {
        Cow::Borrowed(kind.name)
    }
}
