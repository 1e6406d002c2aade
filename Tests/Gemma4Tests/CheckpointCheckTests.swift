import Foundation
import TestSupport
import Testing
import Weights

@testable import Gemma4

/// A checkpoint of toy size against the table of its configuration.
struct CheckpointCheckTests {
    /// Two layers, the second reading the first one's keys and values; no towers.
    private static let text = """
        {"model_type": "gemma4_text", "vocab_size": 11, "hidden_size": 6, "num_hidden_layers": 3, "intermediate_size": 5,
         "layer_types": ["sliding_attention", "full_attention", "full_attention"], "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 4, "global_head_dim": 8, "num_kv_shared_layers": 1, "sliding_window": 3,
         "rope_parameters": {"sliding_attention": {"rope_theta": 10000}, "full_attention": {"rope_theta": 1000000}},
         "hidden_size_per_layer_input": null, "rms_norm_eps": 1e-6, "final_logit_softcapping": null,
         "max_position_embeddings": 64, "pad_token_id": 0, "tie_word_embeddings": TIED}
        """

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func table(tied: Bool = true) throws -> TensorTable {
        let text = Self.text.replacing("TIED", with: "\(tied)")
        return TensorTable(try ModelConfiguration(contentsOf: directory.write(text.utf8, to: "config.json")))
    }

    private func open(_ tensors: [(name: String, shape: [Int])], tied: Bool = true) throws -> Checkpoint {
        try directory.write(safetensorsFile(zeros: tensors), to: "model.safetensors")
        return try Checkpoint(directory.path, checkedAgainst: table(tied: tied))
    }

    private func tensors(_ table: TensorTable) -> [(name: String, shape: [Int])] {
        table.rows.map { ($0.name, $0.shape.dimensions) }
    }

    @Test func acceptsExactlyTheTable() throws {
        let table = try table()
        #expect(try open(tensors(table)).entries.count == table.rows.count)
    }

    @Test(arguments: ["language_model.model.", "model."])
    func acceptsOtherPrefixes(prefix: String) throws {
        let renamed = tensors(try table()).map { ($0.name.replacing("model.language_model.", with: prefix), $0.shape) }
        #expect(try open(renamed).entries["model.language_model.layers.2.layer_scalar"] != nil)
    }

    /// Files that transformers saves lack the unused projections of shared layers; others repeat the embedding as head.
    @Test func acceptsLeftoversAndTheirAbsence() throws {
        let all = tensors(try table())
        let saved = all.filter {
            !$0.name.contains("layers.2.self_attn.k") && !$0.name.contains("layers.2.self_attn.v")
        }
        #expect(saved.count == all.count - 3)
        #expect(try open(saved).entries.count == saved.count)
        #expect(try open(all + [("lm_head.weight", [11, 6])]).entries.count == all.count + 1)
    }

    @Test func listsAllThatDiffersAtOnce() throws {
        var found = tensors(try table()).filter {
            !["model.language_model.norm.weight", "model.language_model.layers.1.self_attn.k_proj.weight"].contains(
                $0.name)
        }
        let index = try #require(
            found.firstIndex { $0.name == "model.language_model.layers.1.self_attn.q_proj.weight" })
        found[index].shape = [8, 6]
        found.append(("model.language_model.layers.3.layer_scalar", [1]))
        found.append(("five", [1, 1, 1, 1, 1]))
        let error = #expect(throws: CheckpointError.self) { try open(found) }
        #expect(
            error?.mismatches == [
                .superfluous("five", found: [1, 1, 1, 1, 1]),
                .missing("model.language_model.layers.1.self_attn.k_proj.weight", expected: [8, 6]),
                .misshapen("model.language_model.layers.1.self_attn.q_proj.weight", expected: [16, 6], found: [8, 6]),
                .superfluous("model.language_model.layers.3.layer_scalar", found: [1]),
                .missing("model.language_model.norm.weight", expected: [6]),
            ])
        #expect(
            error?.description == """
                \(directory.path): expected the tensors that config.json describes, found 2 missing, 2 superfluous, 1 of another shape.
                  five: [1, 1, 1, 1, 1], not part of this model
                  model.language_model.layers.1.self_attn.k_proj.weight: missing, expected [8, 6]
                  model.language_model.layers.1.self_attn.q_proj.weight: expected [16, 6], found [8, 6]
                  model.language_model.layers.3.layer_scalar: [1], not part of this model
                  model.language_model.norm.weight: missing, expected [6]
                config.json and weights are of different models; use the config.json published beside these weights.
                """)
    }

    @Test(arguments: ["subsample_conv_projection.layer0.conv.weight", "layers.0.lconv1d.depthwise_conv1d.weight"])
    func convolutionsOfMLXAreRefused(name: String) throws {
        let configuration = try ModelConfiguration(contentsOf: "\(Goldens.checkpoint("E2B"))/config.json")
        let table = TensorTable(configuration)
        var found = tensors(table)
        let index = try #require(found.firstIndex { $0.name == "model.audio_tower.\(name)" })
        found[index].shape.append(found[index].shape.remove(at: 1))
        try directory.write(safetensorsFile(zeros: found), to: "model.safetensors")
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(directory.path, checkedAgainst: table) }
        #expect(
            error?.description
                == "\(directory.path), model.audio_tower.\(name): expected weights as published, found those of MLX, whose convolutions have their channels last. Download the model of the same name from google, or a GGUF file of it."
        )
    }

    @Test func anUntiedHeadIsRequired() throws {
        let error = #expect(throws: CheckpointError.self) { try open(tensors(try table()), tied: false) }
        #expect(error?.mismatches == [.missing("lm_head.weight", expected: [11, 6])])
    }
}
