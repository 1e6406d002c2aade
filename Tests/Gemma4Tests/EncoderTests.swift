import Foundation
import Tensors
import TestSupport
import Testing
import Weights

@testable import Gemma4

private func open() throws -> Gemma4Model {
    let configuration = try ModelConfiguration(contentsOf: "\(EmbeddingGoldens.checkpoint)/config.json")
    let checkpoint = try Checkpoint(EmbeddingGoldens.checkpoint, checkedAgainst: TensorTable(configuration))
    return try Gemma4Model(configuration, WeightScope(checkpoint, on: Device()))
}

private func tokens(_ name: String) throws -> [Int] {
    try #require(EmbeddingGoldens.all.cases.first { $0.name == name }).tokens
}

@Suite struct EncoderTests {
    @Test func thereAreEmbeddingGoldens() {
        #expect(EmbeddingGoldens.all.cases.count == 9 && EmbeddingGoldens.all.frames.count == 11)
    }

    /// A text of more than twenty windows, layer by layer: within half of the tolerance of `DecoderTests`.
    @Test func everyLayerIsTheReferences() throws {
        let model = try open()
        let ids = try tokens("long")
        let expected = try Goldens("embedder/expected.safetensors")
        #expect(ids.count > 20 * model.configuration.textConfig.slidingWindow)
        let input = try model.decoderInput(.init(tokens: ids, wantedRows: Array(ids.indices), cache: nil))
        var layers = 0
        _ = model.decoder([input]) { layer, stream in
            guard let values = try? expected("layer.\(layer)") else {
                Issue.record("no golden of layer \(layer)")
                return
            }
            layers += 1
            expectClose(stream.toArray(), values.values, absolute: 1e-4 * values.scale)
        }
        #expect(layers == 12)
    }

    /// A sequence's result does not depend on the others in its pass.
    @Test func aBatchGivesWhatSinglePassesGive() throws {
        let model = try open()
        let inputs: [(tokens: [Int], softTokens: Tensor?)] = try ["plain", "long", "empty", "query", "document"].map {
            (try tokens($0), nil)
        }
        let together = try model.embeddings(inputs).toArray()
        let alone = try inputs.flatMap { try model.embeddings([$0]).toArray() }
        expectClose(together, alone, absolute: 1e-4)
        #expect(together.count == 5 * 768)
    }

    /// The number on the model's card, in parts: 270 million of text, 170 of pictures, 300 of sound.
    @Test func thePublishedShapeHasThePublishedCounts() throws {
        let file = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Models/EmbeddingGemma2/config.json").path
        let table = TensorTable(try ModelConfiguration(contentsOf: file))
        // transformers counts 744 371 488, without the scalar of each layer.
        #expect(table.publishedParameterCount == 744_371_488 + 24)
        #expect(table.rows.filter { $0.part != .clipBounds }.count + table.parameterCount(.clipBounds) == 1_376)
        #expect(table.parameterCount(.head) == 768 * 512 && table.parameterCount(.perLayerTable) == 0)
    }

    /// transformers writes the layers of `per_layer_config` with zeros before them.
    @Test func layersAreThoseOfTheFile() throws {
        let text = try ModelConfiguration(contentsOf: "\(EmbeddingGoldens.checkpoint)/config.json").textConfig
        #expect(text.layerPlans.map(\.headDimension) == (0..<12).map { $0 % 6 == 5 ? 32 : 16 })
        #expect(text.layerPlans.map(\.window) == (0..<12).map { $0 % 6 == 5 ? nil : 6 })
        #expect(text.layerPlans.allSatisfy { $0.isBidirectional && $0.rotary.partialRotaryFactor == 1 })
    }

    @Test func aMissingKeyIsNamed() throws {
        let directory = try TemporaryDirectory()
        let whole = try String(contentsOfFile: "\(EmbeddingGoldens.checkpoint)/config.json", encoding: .utf8)
        let path = try directory.write(
            Array(whole.replacing("\"embedding_dim\": 768,", with: "").utf8), to: "config.json")
        let error = #expect(throws: CheckpointError.self) { try ModelConfiguration(contentsOf: path) }
        #expect(error?.place == "text_config.embedding_dim")
    }
}
