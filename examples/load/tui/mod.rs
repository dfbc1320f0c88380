//! The screen of `--tui`: what is known (`view.rs`), how it is drawn (`draw.rs`), the terminal and its
//! keys (`screen.rs`).

mod draw;
mod screen;
mod view;

pub(crate) use screen::Screen;
