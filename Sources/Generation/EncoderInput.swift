import Gemma4
import Synchronization
import Tensors

/// One picture, one frame of a film or one piece of a recording on its way through its tower.
///
/// A class: prompts of one conversation share it, and what the tower has made of it is kept for as long as any of them
/// lives. Once encoded, the content itself is let go.
package final class EncoderInput: Sendable {
    package enum Content: Sendable {
        case image(ImagePatches)
        /// What `SoundFeatures` makes of a recording, row-major.
        case sound([Float])
    }

    package let hash: ContentHash
    package let softTokenCount: Int
    /// Whether it is a picture or a frame.
    package let isImage: Bool
    private let state: Mutex<State>

    private enum State: Sendable {
        case content(Content)
        /// To be read where it came from, if its tower needs it.
        case elsewhere(@Sendable () throws -> EncoderInput)
        case encoded(Tensor)
    }

    package init(_ patches: ImagePatches) {
        hash = ContentHash(kind: "image", dimensions: [patches.grid.columns, patches.grid.rows], patches.values)
        softTokenCount = patches.softTokenCount
        isImage = true
        state = Mutex(.content(.image(patches)))
    }

    /// One piece of a recording.
    ///
    /// - Parameter samples: mono, at 16 kHz.
    /// - Throws: `MelSpectrogramError` if a sound encoder does not take a recording of that length.
    package init(_ features: SoundFeatures, samples: [Float]) throws(MelSpectrogramError) {
        let frames = try features(samples)
        hash = ContentHash(kind: "sound", dimensions: [], frames)
        softTokenCount = features.softTokenCount(samples: samples.count)
        isImage = false
        state = Mutex(.content(.sound(frames)))
    }

    /// A medium that an earlier process has seen. Where a cache holds its keys and values nobody looks at it again.
    ///
    /// - Parameter read: called on the engine's thread if its tower needs it after all.
    package init(
        hash: ContentHash, softTokenCount: Int, isImage: Bool,
        reading read: @escaping @Sendable () throws -> EncoderInput
    ) {
        (self.hash, self.softTokenCount, self.isImage) = (hash, softTokenCount, isImage)
        state = Mutex(.elsewhere(read))
    }

    /// Its soft tokens, `[softTokenCount, hiddenSize]`; nil until it has been through its tower.
    package var softTokens: Tensor? {
        state.withLock { if case .encoded(let tensor) = $0 { tensor } else { nil } }
    }

    /// What the tower reads; nil once it has been read.
    ///
    /// - Throws: what reading it again throws; `EncoderInputError` if another content is there now.
    func content() throws -> Content? {
        switch state.withLock({ $0 }) {
        case .content(let content): return content
        case .elsewhere(let read):
            let input = try read()
            guard (input.hash, input.softTokenCount) == (hash, softTokenCount) else { throw EncoderInputError.changed }
            return try input.content()
        case .encoded: return nil
        }
    }

    func finish(_ softTokens: Tensor) { state.withLock { $0 = .encoded(softTokens) } }
}

/// Why a medium of an earlier process cannot be seen again.
package enum EncoderInputError: Error, CustomStringConvertible {
    /// It was handed over, and nothing says where it is.
    case unknownPlace
    /// At its place there is another one.
    case changed

    package var description: String {
        switch self {
        case .unknownPlace:
            "a picture, recording or film of the saved conversation has to be read again, but the conversation does not say "
                + "where it is; go on without undoing what was saved, or say it anew"
        case .changed:
            "a picture, recording or film of the saved conversation has to be read again, but it has changed since; start anew"
        }
    }
}
