//! Programs that must not compile, each beside a twin that does and differs in one line.

/// A hook with `?` does not say what its error is.
///
/// ```compile_fail,E0282
/// use axum::Router;
/// use nexios_axum::NexiosApp;
///
/// let app = NexiosApp::new(Router::new()).on_startup("read the port", async || {
///     println!("{}", "80".parse::<u16>()?);
///     Ok(())
/// });
/// ```
///
/// ```
/// use axum::Router;
/// use nexios_axum::NexiosApp;
///
/// let app = NexiosApp::new(Router::new()).on_startup("read the port", async || {
///     println!("{}", "80".parse::<u16>()?);
///     Ok::<_, axum::BoxError>(())
/// });
/// ```
mod a_hook_does_not_say_its_error {}
