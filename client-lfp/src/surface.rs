//! The surface that the client shows: state, epoch, picture.

use lfp_proto::depth::Depth;
use lfp_proto::frame::{Surface as SurfaceFrame, SurfaceState};
use lfp_proto::geometry::Size;
use lfp_proto::units::{Epoch, SurfaceId};

use crate::framebuffer::{Framebuffer, Picture};

/// What a surface shows, in values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SurfaceView<'a> {
    /// Which.
    pub surface: SurfaceId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What it shows.
    pub state: SurfaceState,
    /// Its size, if it is live.
    pub size: Option<Size>,
    /// The state in words; may be empty.
    pub text: &'a str,
}

/// The one surface that this client shows: the first that the server names. Records of others are refused.
#[derive(Clone, Debug)]
pub(crate) struct Surface {
    id: SurfaceId,
    epoch: Epoch,
    state: SurfaceState,
    text: String,
    /// The picture of this epoch, or of the last live one.
    framebuffer: Option<Framebuffer>,
    /// How many references are kept of each picture.
    references: u8,
    /// The picture is one of a session before, and the surface has not been live yet.
    returns: bool,
    /// The pixels that were never painted in this epoch are that picture's.
    shows_kept: bool,
    /// It has become live: with such pixels, or without.
    returned: Option<bool>,
}

impl Surface {
    /// The surface that `frame` names; of its pictures at most `references` references are kept. `kept` is the picture of a
    /// session before.
    pub(crate) fn new(frame: &SurfaceFrame<'_>, references: u8, kept: Option<Framebuffer>) -> Self {
        let mut surface = Self {
            id: frame.surface,
            epoch: Epoch(0),
            state: SurfaceState::Connecting,
            text: String::new(),
            returns: kept.is_some(),
            shows_kept: kept.is_some(),
            returned: None,
            framebuffer: kept,
            references,
        };
        surface.update(frame);
        surface
    }

    /// Takes over a new epoch; says whether `frame` started one.
    pub(crate) fn update(&mut self, frame: &SurfaceFrame<'_>) -> bool {
        // SPEC [LFP-7.2]: A client MUST ignore a SURFACE whose epoch is not larger than the surface's.
        if frame.surface != self.id || frame.epoch <= self.epoch {
            return false;
        }
        self.epoch = frame.epoch;
        self.state = frame.state;
        self.text = frame.text.into();
        // SPEC [LFP-7.3]: On a larger epoch a client MUST forget the contents of all cells of the surface: each shows
        // content 0, and none is a base. Its references and its cache are gone.
        if let Some(size) = frame.size {
            let returns = core::mem::take(&mut self.returns);
            // The old picture goes first, so that there are never two.
            let kept = self.framebuffer.take().filter(|kept| returns && kept.size() == size);
            self.shows_kept = kept.is_some();
            self.returned = returns.then_some(self.shows_kept);
            self.framebuffer = Some(match kept {
                Some(kept) => kept.anew(frame.epoch, self.references),
                None => Framebuffer::new(size, frame.epoch, self.references),
            });
        }
        true
    }

    pub(crate) const fn id(&self) -> SurfaceId {
        self.id
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The picture of this epoch, if the surface is live.
    pub(crate) fn live(&self) -> Option<&Framebuffer> {
        self.framebuffer.as_ref().filter(|_| self.state == SurfaceState::Live)
    }

    /// The picture of this epoch, if the surface is live.
    pub(crate) fn live_mut(&mut self) -> Option<&mut Framebuffer> {
        self.framebuffer.as_mut().filter(|_| self.state == SurfaceState::Live)
    }

    /// The picture of this or the last live epoch.
    pub(crate) const fn last(&self) -> Option<&Framebuffer> {
        self.framebuffer.as_ref()
    }

    /// The picture of this or the last live epoch.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Framebuffer> {
        self.framebuffer.as_mut()
    }

    /// Whether the picture, as far as it has not been painted over, is one of a session before.
    pub(crate) const fn shows_kept(&self) -> bool {
        self.shows_kept
    }

    /// Asked once after the surface of a client that comes back has become live: whether it has the pixels that were kept.
    pub(crate) const fn take_return(&mut self) -> Option<bool> {
        self.returned.take()
    }

    /// The picture of this or the last live epoch, to be kept.
    pub(crate) fn into_last(self) -> Option<Framebuffer> {
        self.framebuffer
    }

    /// The picture of this or the last live epoch, of pixels of `depth`.
    pub(crate) fn picture(&self, depth: Depth) -> Option<Picture<'_>> {
        let live = self.state == SurfaceState::Live;
        self.framebuffer.as_ref().map(|framebuffer| framebuffer.picture(depth, live))
    }

    pub(crate) fn view(&self) -> SurfaceView<'_> {
        SurfaceView {
            surface: self.id,
            epoch: self.epoch,
            state: self.state,
            size: self.live().map(Framebuffer::size),
            text: &self.text,
        }
    }
}
