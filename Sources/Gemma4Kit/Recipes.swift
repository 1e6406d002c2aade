import Foundation
import Gemma4
import Generation
import Tokenization
import Transcription

/// The most common tasks, with the prompts that the models were trained with.
extension Gemma4Pipeline {
    /// What `caption` asks about a picture.
    public static let captionInstruction = "Describe this image."
    /// What `caption` asks about a film.
    public static let videoInstruction = "Describe this video."

    /// Transcribes or translates the speech in a recording of any length, segment by segment, in bounded memory.
    ///
    /// - Returns: the segments as they are completed, and at the end an account of every second. Iterating throws
    ///   `MediaError`, `PromptError`, `ModelInputError` or `CancellationError`.
    public func transcribe(_ audio: AudioInput, options: TranscriptionOptions = .init()) -> TranscriptStream {
        TranscriptStream { yield in
            guard model.configuration.takesSound else { throw ModelInputError(.noTower("audio")) }
            let recording = Recording(name: audio.name, isLive: audio.isLive) { try audio.open(options) }
            try await Transcriber(options, answer(about:instruction:options:)).run(recording, yield)
        }
    }

    /// Transcribes one turn of live speech, which arrives in pieces.
    ///
    /// - Parameter write: called with the new part of the text as it grows.
    package func turnTranscriber(
        _ options: TranscriptionOptions, write: @escaping @Sendable (String) async throws -> Void
    ) -> TurnTranscriber {
        TurnTranscriber(options, tokens(about:instruction:options:), write: write)
    }

    private func answer(
        about samples: [Float], instruction: String, options: GenerationOptions
    ) async throws -> Answer {
        try await tokens(about: samples, instruction: instruction, options: options).answer()
    }

    /// The model's answer about a piece of sound.
    ///
    /// - Parameter samples: mono, at 16 kHz, at most 30 s.
    private func tokens(about samples: [Float], instruction: String, options: GenerationOptions) -> TokenStream {
        let message = ChatMessage(.user, parts: [.text(instruction), .audio()])
        return engine.answer(options) {
            try await preparation.run {
                var media = [PreparedMedium(medium: .audio, pieces: [try encoderInput(samples)])]
                return try prompt([message], media: nil, options: .init(), prepared: &media)
            }
        }
    }

    /// Translates a text that fits the context.
    ///
    /// - Parameter source: the language of the text; nil if unknown.
    public func translate(
        _ text: String, from source: Language? = nil, to target: Language,
        options: GenerationOptions = .init(sampling: .greedy)
    ) -> TokenStream {
        let from = source.map { " from \($0.name)" } ?? ""
        let instruction = "Translate the following text\(from) into \(target.name). Only output the translation."
        return generate([ChatMessage(.user, "\(instruction)\n\n\(text)")], options: options)
    }

    /// Describes an image.
    ///
    /// - Parameter imageTokens: 70, 140, 280, 560 or 1120; by default that of the processor's configuration.
    public func caption(
        _ image: ImageInput, instruction: String = captionInstruction, imageTokens: Int? = nil, thinking: Bool = false,
        options: GenerationOptions = .init(sampling: .greedy)
    ) -> TokenStream {
        let message = ChatMessage(.user, parts: [.image(), .text(instruction)])
        return generate(
            [message], media: [.image(image)], prompt: PromptOptions(thinking: thinking, imageTokens: imageTokens),
            options: options)
    }

    /// Describes a video. (The label is needed because `.file` would fit either input.)
    public func caption(
        video: VideoInput, instruction: String = videoInstruction, thinking: Bool = false,
        options: GenerationOptions = .init(sampling: .greedy)
    ) -> TokenStream {
        let message = ChatMessage(.user, parts: [.video(), .text(instruction)])
        return generate(
            [message], media: [.video(video)], prompt: PromptOptions(thinking: thinking), options: options)
    }
}
