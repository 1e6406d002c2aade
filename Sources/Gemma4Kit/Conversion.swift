import Conversion
import Foundation
import Gemma4
import Tokenization
import Transcription

extension GGUFExport {
    /// - Parameter directory: a model directory as published.
    /// - Throws: `CheckpointError`, `TokenizerError`.
    package init(contentsOf directory: URL) throws {
        let source = ModelSource.directory(directory)
        let configuration = try source.configuration()
        try source.check(configuration, isEncoder: false)
        try self.init(
            configuration, source.checkpoint(TensorTable(configuration)),
            TokenizerMetadata(contentsOf: directory.appending(path: "tokenizer.json").path),
            chatTemplate: source.chatTemplate,
            suppressTokens: GenerationConfiguration(
                contentsOf: directory.appending(path: "generation_config.json").path
            ).suppressTokens)
    }
}

extension QuantizationComparison {
    /// Compares the predictions of both models at every position of a text.
    ///
    /// - Throws: `ModelInputError`, `CancellationError`.
    package mutating func add(text: String, _ original: Gemma4Pipeline, _ quantized: Gemma4Pipeline) async throws {
        try await add(text: original.prompt(text: text).tokens, original.engine, quantized.engine)
    }

    /// Compares the words that both models transcribe from a recording.
    ///
    /// - Throws: errors of transcription.
    package mutating func add(
        recording: AudioInput, _ original: Gemma4Pipeline, _ quantized: Gemma4Pipeline
    ) async throws {
        var heard: [[Substring]] = []
        for pipeline in [original, quantized] {
            heard.append(
                try await pipeline.transcribe(recording).transcript().text.split(whereSeparator: \.isWhitespace))
        }
        add(words: heard[0].count, differing: editDistance(heard[0], heard[1]))
    }
}
