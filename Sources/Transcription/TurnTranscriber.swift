import Generation
import Media

/// Asks a model what is said in a piece of sound, as `SpeechModel`, and gets the answer token by token.
package typealias SpeechTokens =
    @Sendable (_ samples: [Float], _ instruction: String, _ options: GenerationOptions) -> TokenStream

/// Writes down what is said in one turn of speech, piece by piece, while the turn goes on.
package actor TurnTranscriber {
    private let instruction: SpeechInstruction
    private let generation: GenerationOptions
    private let model: SpeechTokens
    private let write: @Sendable (String) async throws -> Void
    /// The text of the pieces that nothing can change any more.
    private var settled = ""
    /// What has been handed out.
    private var written = ""
    /// The text of a piece that was cut within speech: the next may begin with its last words.
    private var held: String?

    /// - Parameters:
    ///   - options: of them those that say what the model is told, and how it answers.
    ///   - write: given the text as it grows: what is new of it.
    package init(
        _ options: TranscriptionOptions, _ model: @escaping SpeechTokens,
        write: @escaping @Sendable (String) async throws -> Void
    ) {
        instruction = SpeechInstruction(options)
        (generation, self.model, self.write) = (options.generation, model, write)
    }

    /// Hears the next piece. Its text is handed out with every token, unless its ends are in other pieces too.
    ///
    /// - Throws: what the model throws, and `write`.
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

    /// The turn is over.
    ///
    /// - Returns: all of its text.
    /// - Throws: what `write` throws.
    package func finish() async throws -> String {
        if let held { try await settle(held) }
        held = nil
        return settled
    }

    private func settle(_ text: String) async throws {
        settled = Seam.concatenate(settled, text)
        try await hand(settled)
    }

    /// - Parameter answer: as far as the model has come.
    private func show(_ answer: String) async throws {
        try await hand(Seam.concatenate(settled, instruction.parse(answer).heard))
    }

    private func hand(_ whole: String) async throws {
        // By bytes: a mark that comes later can be part of the last character.
        guard whole.utf8.count > written.utf8.count, whole.utf8.starts(with: written.utf8) else { return }
        let new = String(decoding: whole.utf8.dropFirst(written.utf8.count), as: UTF8.self)
        written = whole
        try await write(new)
    }
}
