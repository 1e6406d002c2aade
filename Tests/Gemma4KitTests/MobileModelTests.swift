import Conversion
import Foundation
import Gemma4
import Tensors
import TestSupport
import Testing
import Tokenization
import Weights

@testable import Gemma4Kit

/// A directory of 2, 4 and 8 bits, opened as a user opens it.
@Suite struct MobileModelTests {
    /// The tiny checkpoint with the tokenizer of the tiny E2B, whose vocabulary it has.
    private static func directory() throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        let mobile = Goldens.folder.appending(path: "mobile/checkpoint")
        let files =
            ["config.json", "model.safetensors"].map { mobile.appending(path: $0) }
            + ["tokenizer.json", "generation_config.json", "processor_config.json", "chat_template.jinja"].map {
                URL(filePath: Goldens.checkpoint("E2B")).appending(path: $0)
            }
        for file in files {
            try FileManager.default.copyItem(atPath: file.path, toPath: "\(directory.path)/\(file.lastPathComponent)")
        }
        return directory
    }

    /// Also with images and sound; one thread answers as two, because integer sums do not depend on their order.
    @Test func answers() async throws {
        let directory = try Self.directory()
        let attachments = Goldens.folder.appending(path: "attachments")
        let media: [MediaInput] = [
            .image(.file(attachments.appending(path: "wide.png"))),
            .audio(.file(attachments.appending(path: "chirp.wav"))),
        ]
        let message = ChatMessage(.user, parts: [.image(), .text("What do you hear and see?"), .audio()])
        var tokens: [[Int]] = []
        for (threads, keyValueType) in [(1, nil), (2, nil), (2, KeyValueType.int8)] {
            var precision = Precision()
            precision.keyValueType = keyValueType
            let pipeline = try Gemma4Pipeline(
                contentsOf: URL(filePath: directory.path), threadCount: threads, precision: precision)
            let answer = try await pipeline.generate(
                [message], media: media, options: .init(sampling: .greedy, maxTokens: 12)
            ).answer()
            #expect(answer.logprobs.allSatisfy { $0.isFinite && $0 <= 0 })
            tokens.append(answer.tokens)
        }
        #expect(tokens[0] == tokens[1] && !tokens[0].isEmpty && !tokens[2].isEmpty)
    }

    @Test func isNotExported() throws {
        let directory = try Self.directory()
        let error = #expect(throws: CheckpointError.self) {
            try GGUFExport(contentsOf: URL(filePath: directory.path))
        }
        #expect(
            error?.description.contains(
                "lm_head.weight: expected f32, f16 or bf16, found integers with a scale a row, for which GGUF has no type."
            ) == true, "\(error?.description ?? "")")
    }

    /// Quantizing a quantized checkpoint again is refused, naming a tensor.
    @Test func isNotRoundedAgain() throws {
        let directory = try Self.directory()
        var precision = Precision()
        precision.quantization = .q4_0
        let error = #expect(throws: CheckpointError.self) {
            try Gemma4Pipeline(contentsOf: URL(filePath: directory.path), precision: precision)
        }
        #expect(error?.description.contains("expected f32, f16 or bf16, to be rounded to q4_0, found int") == true)
    }
}
