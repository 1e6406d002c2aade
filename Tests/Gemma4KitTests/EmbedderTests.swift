import Foundation
import Media
import TestSupport
import Testing
import Weights

@testable import Gemma4Kit

private func open() throws -> Embedder { try Embedder(contentsOf: URL(filePath: EmbeddingGoldens.checkpoint)) }

/// Measured: elements of unit vectors differ from the reference's by up to 3.1e-7.
private let tolerance: Float = 2e-6

extension EmbeddingGoldens.Case {
    fileprivate var input: EmbeddingInput {
        get throws {
            let attachments = Goldens.folder.appending(path: "attachments")
            if let image { return .image(.file(attachments.appending(path: "\(image).png"))) }
            if let audio { return .audio(.file(attachments.appending(path: "\(audio).wav"))) }
            if let film { return .video(.pictures(try film.pictures, framesPerSecond: film.fps)) }
            return .text(text!)
        }
    }
}

extension EmbeddingGoldens.Case.Film {
    /// The generator's frames.
    fileprivate var pictures: [ImageInput] {
        get throws {
            try (0..<frames).map { t in
                let rgb = (0..<height * width * 3).map { index -> UInt8 in
                    let (x, y, c) = (index / 3 % width, index / 3 / width, index % 3)
                    return UInt8(truncatingIfNeeded: x * 7 + y * 13 + t * 31 + c * 57 + (x * y * (t + 1)) / 29)
                }
                return .pixels(try Pixels(width: width, height: height, rgb: rgb))
            }
        }
    }
}

private func length(_ vector: [Float]) -> Double { vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }

@Suite struct EmbedderTests {
    /// Ids and vectors of texts with and without prompts, pictures, a recording and a film.
    @Test(arguments: EmbeddingGoldens.all.cases)
    func embeddingsAreTheReferences(golden: EmbeddingGoldens.Case) async throws {
        let embedder = try open()
        let input = try golden.input
        #expect(try await embedder.prompt(input, task: golden.prompt).tokens == golden.tokens)
        let vector = try await embedder.embed([input], task: golden.prompt)[0]
        #expect(abs(length(vector) - 1) < 1e-6)
        expectClose(vector, try EmbeddingGoldens.embedding(golden.name), absolute: tolerance)
    }

    /// Inputs of all media in one call, more than go together, in their order.
    @Test func manyInputsGoTogether() async throws {
        let embedder = try open()
        let cases = EmbeddingGoldens.all.cases.filter { $0.prompt == nil }
        let many = (0..<12).flatMap { _ in cases }
        let vectors = try await embedder.embed(try many.map { try $0.input })
        #expect(vectors.count == many.count)
        #expect(many.reduce(0) { $0 + $1.tokens.count } > Embedder.tokensPerBatch)
        for (golden, vector) in zip(many, vectors) {
            expectClose(vector, try EmbeddingGoldens.embedding(golden.name), absolute: tolerance)
        }
        #expect(try await embedder.embed([]).isEmpty)
    }

    /// A shorter vector is a normalized prefix of the longer one.
    @Test(arguments: [512, 256, 128]) func vectorsAreCut(dimensions: Int) async throws {
        let embedder = try open()
        #expect(embedder.dimensions == [768, 512, 256, 128])
        let whole = try await embedder.embed("Describe two pictures.")
        let cut = try await embedder.embed("Describe two pictures.", dimensions: dimensions)
        let part = Array(whole.prefix(dimensions))
        #expect(cut.count == dimensions && abs(length(cut) - 1) < 1e-6)
        expectClose(cut, part.map { Float(Double($0) / length(part)) }, absolute: 1e-6)
    }

    @Test func tasksAndDimensionsThatAreNotThereAreRefused() async throws {
        let embedder = try open()
        #expect(embedder.tasks == ["query", "document", "Clustering", "STS"])
        #expect(
            try await embedder.prompt(.text("a"), task: "sts").tokens == embedder.prompt(.text("a"), task: "STS").tokens
        )
        let task = await #expect(throws: PromptError.self) { try await embedder.embed("a", task: "rhyme") }
        #expect(task?.description == "task rhyme: expected one of query, document, Clustering, STS")
        let dimensions = await #expect(throws: PromptError.self) { try await embedder.embed("a", dimensions: 100) }
        #expect(dimensions?.description == "100 dimensions: expected one of 768, 512, 256, 128")
    }

    /// The text of a special token is plain text: it neither ends the input nor is a placeholder.
    @Test func specialTokensInATextAreText() async throws {
        let embedder = try open()
        let tokenizer = embedder.pipeline.tokenizer
        let tokens = try await embedder.prompt(.text("<eos><|image|>")).tokens
        #expect(tokens.count { $0 == tokenizer.specialTokens["<eos>"] } == 1)
        #expect(!tokens.contains(tokenizer.specialTokens["<|image|>"]!))
    }

    /// A recording beyond the encoder's limit is encoded in segments, joined by a space, as the reference joins
    /// recordings.
    @Test func aLongRecordingIsHeardInPieces() async throws {
        let embedder = try open()
        let samples = (0..<31 * 16_000).map { 0.3 * sin(Float($0) * 0.05) }
        let tokens = try await embedder.prompt(.audio(.samples(samples, sampleRate: 16_000))).tokens
        let configuration = embedder.pipeline.model.configuration
        let (begin, end) = (configuration.boaTokenId!, configuration.eoaTokenId!)
        #expect(tokens.count { $0 == begin } == 2)
        let firstEnd = try #require(tokens.firstIndex(of: end))
        #expect(Array(tokens[(firstEnd + 1)...(firstEnd + 2)]) == embedder.pipeline.tokenizer.encode(" ") + [begin])
    }

    @Test func aTextBeyondTheContextIsRefused() async throws {
        let embedder = try open()
        let error = await #expect(throws: (any Error).self) {
            try await embedder.embed(String(repeating: "what is ", count: 5_000))
        }
        #expect("\(error!)".contains("4096"), "\(error!)")
    }

    /// A frame a second, 32 at most.
    @Test(arguments: EmbeddingGoldens.all.frames.indices)
    func framesAreThePublishedProcessors(index: Int) {
        let golden = EmbeddingGoldens.all.frames[index]
        let indices = VideoReader.indices(
            frames: golden.frames, framesPerSecond: golden.fps, .rate(1, limit: 32))
        #expect(indices == golden.indices)
    }

    // MARK: The wrong model

    @Test func aModelThatWritesIsRefused() throws {
        let error = #expect(throws: CheckpointError.self) {
            try Embedder(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        }
        #expect(error?.code == .unsupportedModel)
        #expect(error?.description.contains("Download google/embeddinggemma-2.") == true)
    }

    @Test func aModelThatEmbedsDoesNotWrite() throws {
        let error = #expect(throws: CheckpointError.self) {
            try Gemma4Pipeline(contentsOf: URL(filePath: EmbeddingGoldens.checkpoint))
        }
        #expect(error?.code == .unsupportedModel && error?.description.contains("Give it to gemma4 embed") == true)
    }

    @Test func promptsThatAreNoTextsAreRefused() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(Array(#"{"prompts": {"query": 1}}"#.utf8), to: "prompts.json")
        let error = #expect(throws: CheckpointError.self) { try EmbeddingPrompts(contentsOf: path) }
        #expect(error?.place == "prompts.query" && error?.expected == "a text")
        let none = try EmbeddingPrompts(contentsOf: "\(directory.path)/none.json")
        #expect(try none(nil) == "")
        let missing = #expect(throws: PromptError.self) { try none("query") }
        #expect(missing?.description.contains("config_sentence_transformers.json") == true)
        let named = try directory.write(
            Array(#"{"prompts": {"query": "q: "}, "default_prompt_name": "query"}"#.utf8), to: "named.json")
        #expect(try EmbeddingPrompts(contentsOf: named)(nil) == "q: ")
    }
}
