import Generation
import Media

/// Like `SpeechModel`, with the answer as a stream of tokens.
package typealias SpeechTokens =
    @Sendable (_ samples: [Float], _ instruction: String, _ options: GenerationOptions) -> TokenStream

/// Transcribes one turn of speech, piece by piece, while the turn is spoken.
package actor TurnTranscriber {
    private let instruction: SpeechInstruction
    private let generation: GenerationOptions
    private let model: SpeechTokens
    private let write: @Sendable (String) async throws -> Void
    /// The final text of the pieces so far.
    private var settled = ""
    /// The text already passed to `write`.
    private var written = ""
    /// The text of a piece that was cut within speech: the next may begin with its last words.
    private var held: String?

    /// - Parameters:
    ///   - options: only the instruction and generation options are used.
    ///   - write: called with each addition to the text.
    package init(
        _ options: TranscriptionOptions, _ model: @escaping SpeechTokens,
        write: @escaping @Sendable (String) async throws -> Void
    ) {
        instruction = SpeechInstruction(options)
        (generation, self.model, self.write) = (options.generation, model, write)
    }

    /// Transcribes the next piece. Writes its text token by token, unless the piece overlaps others.
    ///
    /// - Throws: errors of the model and of `write`.
    package func hear(_ piece: SpeechPiece) async throws {
        let isWhole = piece.overlap == 0 && !piece.isCutInSpeech
        let answer = try await instruction.answer(
            about: piece,
            { [model] samples, text, options in
                var answer = Answer()
                for try await token in model(samples, text, options) {
                    answer.append(token)
                    if isWhole { try await self.show(answer.text) }
                }
                try Task.checkCancellation()
                return answer
            }, generation)
        var text = instruction.parse(answer.textWithoutRepetition).heard
        if let before = held {
            let seam = Seam(before, text)
            try await settle(seam.earlier)
            text = seam.later
        }
        held = piece.isCutInSpeech ? text : nil
        if held == nil { try await settle(text) }
    }

    /// Ends the turn.
    ///
    /// - Returns: its whole text.
    /// - Throws: errors of `write`.
    package func finish() async throws -> String {
        if let held { try await settle(held) }
        held = nil
        return settled
    }

    private func settle(_ text: String) async throws {
        settled = Seam.concatenate(settled, text)
        try await hand(settled)
    }

    /// - Parameter answer: the answer so far.
    private func show(_ answer: String) async throws {
        try await hand(Seam.concatenate(settled, instruction.parse(answer).heard))
    }

    private func hand(_ whole: String) async throws {
        // Compared as bytes: a combining mark can extend the last character.
        guard whole.utf8.count > written.utf8.count, whole.utf8.starts(with: written.utf8) else { return }
        let new = String(decoding: whole.utf8.dropFirst(written.utf8.count), as: UTF8.self)
        written = whole
        try await write(new)
    }
}
