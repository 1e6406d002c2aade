import Gemma4
import Synchronization
import Tensors

/// The input of a tower: one image, one video frame or one piece of a recording.
///
/// A class: the prompts of one conversation share it, and the tower's output is kept as long as any of them lives.
/// Once encoded, the content is released.
package final class EncoderInput: Sendable {
    package enum Content: Sendable {
        case image(ImagePatches)
        /// The output of `SoundFeatures`, row-major.
        case sound([Float])
    }

    package let hash: ContentHash
    package let softTokenCount: Int
    /// Whether it is an image or a video frame.
    package let isImage: Bool
    private let state: Mutex<State>

    private enum State: Sendable {
        case content(Content)
        /// Read again from its source if the tower needs it.
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
    /// - Throws: `MelSpectrogramError` if the sound encoder does not accept a recording of that length.
    package init(_ features: SoundFeatures, samples: [Float]) throws(MelSpectrogramError) {
        let frames = try features(samples)
        hash = ContentHash(kind: "sound", dimensions: [], frames)
        softTokenCount = features.softTokenCount(samples: samples.count)
        isImage = false
        state = Mutex(.content(.sound(frames)))
    }

    /// A medium encoded by an earlier process. It is not read if a cache holds its keys and values.
    ///
    /// - Parameter read: called on the engine's thread if the tower needs the content after all.
    package init(
        hash: ContentHash, softTokenCount: Int, isImage: Bool,
        reading read: @escaping @Sendable () throws -> EncoderInput
    ) {
        (self.hash, self.softTokenCount, self.isImage) = (hash, softTokenCount, isImage)
        state = Mutex(.elsewhere(read))
    }

    /// Its soft tokens, `[softTokenCount, hiddenSize]`; nil until it has been encoded.
    package var softTokens: Tensor? {
        state.withLock { if case .encoded(let tensor) = $0 { tensor } else { nil } }
    }

    /// The tower's input; nil once it has been encoded.
    ///
    /// - Throws: errors of reading it again; `EncoderInputError` if the content has changed.
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

/// Why a medium of an earlier process cannot be read again.
package enum EncoderInputError: Error, CustomStringConvertible {
    /// It was passed in memory, without a path.
    case unknownPlace
    /// The content at its path has changed.
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
