import Foundation
import Gemma4
import TestSupport
import Testing

@testable import Gemma4Kit
@testable import Weights

/// The five published shapes as GGUF: files of full size with only a header.
struct PublishedGGUFTests {
    private static let variants = ["E2B", "E4B", "12B", "31B", "26B-A4B"]
    private static let models = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Models")

    private func configuration(_ variant: String) throws -> ModelConfiguration {
        try ModelConfiguration(contentsOf: Self.models.appending(path: "\(variant)/config.json").path)
    }

    /// Every tensor has a unique stored name, which maps back to it.
    @Test(arguments: variants)
    func namesLeadBothWays(variant: String) throws {
        let rows = TensorTable(try configuration(variant)).rows
        var names = Set<String>()
        for row in rows {
            let stored = try #require(GGUFNames.stored(row.name), "\(row.name)")
            #expect(names.insert(stored.name).inserted)
            let published = try #require(GGUFNames.published(stored.name, isUnified: variant == "12B"))
            #expect(published.name == row.name && published.layout == stored.layout)
            #expect(published.layout.published(stored.layout.stored(row.shape).dimensions) == row.shape.dimensions)
        }
        #expect(GGUFNames.published("blk.01.attn_q.weight") == nil && GGUFNames.stored("model.norm.bias") == nil)
    }

    /// Equal to `config.json`, field by field, including the ids of the published vocabulary.
    @Test(arguments: variants)
    func configurationIsThePublishedOne(variant: String) throws {
        let expected = try configuration(variant)
        let directory = try TemporaryDirectory()
        let table = TensorTable(expected)
        func write(_ metadata: [GGUFMetadata.Entry], to name: String, _ isWanted: (String) -> Bool) throws -> GGUFShards
        {
            var tensors: [GGUFWriter.Description] = []
            for row in table.rows where row.part != .leftover {
                let stored = try #require(GGUFNames.stored(row.name))
                guard isWanted(stored.name) else { continue }
                tensors.append(.init(stored.name, .bfloat16, stored.layout.stored(row.shape)))
            }
            let header = GGUFWriter.header(metadata, tensors)
            let file = try FileHandle(forWritingTo: URL(filePath: directory.write(header, to: name)))
            let byteCount = tensors.reduce(header.count) { $0 + ($1.byteCount + 31) / 32 * 32 }
            try file.truncate(atOffset: UInt64(byteCount))  // zeros that take no room on the disk
            return try GGUFShards("\(directory.path)/\(name)")
        }
        func isOfTowers(_ name: String) -> Bool { ["v.", "a.", "mm."].contains(where: name.hasPrefix) }
        let generation = try GenerationConfiguration(
            contentsOf: Self.models.appending(path: "\(variant)/generation_config.json").path)
        let suppressed = GGUFArray(generation.suppressTokens.map { Int32($0) })
        let text = try write(
            GGUFMetadata.text(expected) + [(GGUFMetadata.suppressTokens, .array(suppressed))], to: "m.gguf"
        ) { !isOfTowers($0) }
        let towers = try write(GGUFMetadata.projector(expected) ?? [], to: "p.gguf", isOfTowers)
        let ids = [
            "<pad>": 0, "<eos>": 1, "<bos>": 2, "<|tool_response>": 50, "<turn|>": 106, "<|image>": 255_999,
            "<|audio>": 256_000, "<|image|>": 258_880, "<|audio|>": 258_881, "<image|>": 258_882, "<audio|>": 258_883,
            "<|video|>": 258_884,
        ]
        let found = try ModelConfiguration(text, projector: towers) { ids[$0] }
        #expect(found.textConfig == expected.textConfig)
        #expect(found.visionConfig == expected.visionConfig)
        #expect(found.audioConfig == expected.audioConfig)
        #expect(found == expected)
        #expect(throws: Never.self) { try Checkpoint(text, projector: towers, checkedAgainst: TensorTable(found)) }
        #expect(try GenerationConfiguration(text) { ids[$0] } == generation)
    }
}
