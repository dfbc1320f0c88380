//! A text into its tags, by the WHATWG tokenizer, without what takes its time and nobody here wants:
//! the text between them, comments, the attributes of tags that lead nowhere, and a judgement on
//! every character. That is most of a page, and reading pages is most of a crawl.

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, ForwardingEmitter, Span, State, Tokenizer};

/// Who is told of the tags.
pub(crate) trait Listener: Callback<(), ()> {
    /// Whether the attributes of the tag that opened last are of interest.
    fn wants_attributes(&self) -> bool;
}

/// Reads all of `text`: the tokenizer never fails.
pub(crate) fn read(text: &str, is_xml: bool, listener: impl Listener) {
    let mut emitter =
        CallbackEmitter::new(Seen { listener, is_noscript: false, is_self_closing: false });
    // Without a tree builder this is what keeps it out of scripts and the like.
    emitter.naively_switch_states(true);
    let mut tokenizer = Tokenizer::new_with_emitter(text, Tags { emitter, is_xml });
    // It hands out nothing before the end: the callback gives `None` until then.
    match tokenizer.next() {
        Some(Ok(())) | None => {}
        Some(Err(never)) => match never {},
    }
}

/// What the last start tag was like.
struct Seen<L> {
    listener: L,
    is_noscript: bool,
    is_self_closing: bool,
}

impl<L: Listener> Callback<(), ()> for Seen<L> {
    fn handle_event(&mut self, event: CallbackEvent<'_>, span: Span<()>) -> Option<()> {
        match &event {
            CallbackEvent::OpenStartTag { name } => self.is_noscript = *name == b"noscript",
            CallbackEvent::CloseStartTag { self_closing } => self.is_self_closing = *self_closing,
            _ => {}
        }
        self.listener.handle_event(event, span)
    }
}

/// Passes on what concerns tags.
struct Tags<L: Listener> {
    emitter: CallbackEmitter<Seen<L>, ()>,
    is_xml: bool,
}

impl<L: Listener> Tags<L> {
    fn wants_attributes(&mut self) -> bool {
        self.emitter.callback_mut().listener.wants_attributes()
    }
}

impl<L: Listener> ForwardingEmitter for Tags<L> {
    type Token = ();

    fn inner(&mut self) -> &mut impl Emitter<Token = ()> {
        &mut self.emitter
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn emit_string(&mut self, _: &[u8]) {}

    fn push_comment(&mut self, _: &[u8]) {}

    fn push_attribute_name(&mut self, name: &[u8]) {
        if self.wants_attributes() {
            self.emitter.push_attribute_name(name);
        }
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        if self.wants_attributes() {
            self.emitter.push_attribute_value(value);
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        let inside = self.emitter.emit_current_tag();
        let seen = self.emitter.callback_mut();
        // Nobody runs scripts here, so what stands in for them counts. And only in XML a script
        // or a title ends where it begins.
        let is_markup = seen.is_noscript || self.is_xml && seen.is_self_closing;
        inside.filter(|_| !is_markup)
    }
}
