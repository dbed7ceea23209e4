//! nexios for axum.
