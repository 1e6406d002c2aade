import Foundation

/// What people do most, with the prompts that the models were trained with.
extension Gemma4Pipeline {
    /// Google's instruction for speech whose language is not known.
    public static let transcriptionInstruction = """
        Transcribe the following speech segment in its original language. Follow these specific instructions for formatting the answer:
        * Only output the transcription, with no newlines.
        * When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three.
        """

    public static let captionInstruction = "Describe this image."

    /// Transcribes a recording of any length, in pieces of at most 30 s that are cut at the quietest point near the
    /// limit.
    ///
    /// - Returns: the tokens of all pieces in order; the first of each later piece begins with a space. `finish` stands on
    ///   the last token of the last piece, and speaks of all: its reason is `length` if any piece was cut.
    public func transcribe(
        _ audio: AudioInput, instruction: String = transcriptionInstruction, options: GenerationOptions = .init()
    ) -> TokenStream {
        TokenStream { yield in
            guard model.configuration.audioConfig != nil else { throw ModelInputError(.noTower("audio")) }
            let samples = try audio.samples()
            let pieces = AudioSplitter().pieces(of: samples)
            let message = ChatMessage(.user, parts: [.text(instruction), .audio()])
            var statistics = GenerationStatistics()
            var promptTokens: [Int] = []
            var reason = FinishReason.stop
            for (index, piece) in pieces.enumerated() {
                let input = AudioInput.samples(Array(samples[piece]), sampleRate: AudioReader.sampleRate)
                var needsSpace = index > 0
                for try await token in generate([message], media: [.audio(input)], options: options) {
                    if let finish = token.finish {
                        statistics += finish.statistics
                        promptTokens += finish.promptTokens
                        if finish.reason == .length { reason = .length }
                    }
                    let isEnd = token.finish != nil && index == pieces.count - 1
                    let text = needsSpace && !token.text.isEmpty ? " " + token.text : token.text
                    needsSpace = needsSpace && token.text.isEmpty
                    let finish =
                        isEnd
                        ? GeneratedToken.Finish(
                            reason: reason, statistics: statistics, promptTokens: promptTokens, toolCalls: []) : nil
                    yield(token.with(text: text, finish: finish))
                }
            }
        }
    }

    /// Describes a picture.
    ///
    /// - Parameter imageTokens: 70, 140, 280, 560 or 1120; by default what the processor's configuration says.
    public func caption(
        _ image: ImageInput, instruction: String = captionInstruction, imageTokens: Int? = nil,
        options: GenerationOptions = .init()
    ) -> TokenStream {
        let message = ChatMessage(.user, parts: [.image(), .text(instruction)])
        return generate(
            [message], media: [.image(image)], prompt: PromptOptions(imageTokens: imageTokens), options: options)
    }
}
