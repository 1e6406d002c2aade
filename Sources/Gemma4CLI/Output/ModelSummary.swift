import Foundation
import Gemma4
import Gemma4Kit
import Tensors
import Tokenization
import Weights

/// A summary of a model's files. A directory needs only `config.json`.
struct ModelSummary {
    let configuration: ModelConfiguration
    let table: TensorTable
    /// Nil if the directory has no weights.
    let checkpoint: Checkpoint?
    /// Nil if the directory has no `tokenizer.json`.
    let tokenizer: Tokenizer?
    /// Nil if the directory has no `chat_template.jinja`, or the file no template.
    let chatTemplate: ChatTemplate?
    /// SHA-256 of the template's text: for a directory equal to `sha256sum chat_template.jinja`.
    let chatTemplateHash: String?

    /// The tasks for which a prompt was published; empty for a generative model.
    let tasks: [String]

    /// - Throws: `CheckpointError`, `TokenizerError` if an existing file is invalid.
    init(_ source: ModelSource) throws {
        configuration = try source.configuration()
        table = TensorTable(configuration)
        checkpoint = source.hasWeights ? try source.checkpoint(table) : nil
        tokenizer = source.hasTokenizer ? try source.tokenizer() : nil
        tasks = configuration.isEncoder ? try source.embeddingPrompts().prompts.map(\.task) : []
        let template = source.chatTemplate
        chatTemplate = template.map { ChatTemplate(source: $0) }
        chatTemplateHash = template.map { SHA256.hex($0.utf8) }
    }

    /// The published variant of this shape, or "custom".
    var variant: String {
        let text = configuration.textConfig
        switch (text.numHiddenLayers, text.hiddenSize, text.experts != nil) {
        case (35, 1536, false): return "E2B"
        case (42, 2560, false): return "E4B"
        case (48, 3840, false): return "12B"
        case (60, 5376, false): return "31B"
        case (30, 2816, true): return "26B-A4B"
        case (24, 512, false) where configuration.isEncoder: return "EmbeddingGemma 2"
        default: return "custom"
        }
    }

    var inputs: [String] {
        ["text"] + (configuration.takesImages ? ["image"] : [])
            + (configuration.takesSound ? ["audio"] : [])
    }

    // MARK: Weights

    /// Number of parameters of each part of the model, in the order of the table's parts.
    var parametersByPart: [(part: TensorTable.Part, count: Int)] {
        TensorTable.Part.allCases.map { ($0, table.parameterCount($0)) }.filter { $0.1 > 0 }
    }

    /// Stored bytes of each part; nil without weights.
    var bytesByPart: [TensorTable.Part: Int]? {
        checkpoint.map { checkpoint in
            table.rows.reduce(into: [:]) { $0[$1.part, default: 0] += checkpoint.entries[$1.name]?.byteCount ?? 0 }
        }
    }

    /// Bytes of all tensors in the files; nil without weights.
    var storedBytes: Int? { checkpoint.map { $0.entries.values.reduce(0) { $0 + $1.byteCount } } }

    /// Number of tensors of each stored type, by the type's name.
    var elementTypes: [(name: String, tensors: Int)] {
        let names = (checkpoint?.entries.values).map { $0.map { "\($0.elementType)" } } ?? []
        return Dictionary(grouping: names, by: \.self).map { ($0.key, $0.value.count) }.sorted { $0.1 > $1.1 }
    }

    // MARK: Layers

    var slidingLayers: Int { configuration.textConfig.layerPlans.count { $0.window != nil } }
    var fullLayers: Int { configuration.textConfig.layerPlans.count - slidingLayers }

    /// Default type of the KV cache: f16 for block-quantized weights, otherwise f32.
    var keyValueType: KeyValueType {
        let query = "model.language_model.layers.0.self_attn.q_proj.weight"
        return checkpoint?.entries[query].map { $0.elementType.blockLength > 1 } == true ? .float16 : .float32
    }

    /// KV cache bytes per token in layers with full attention.
    var fullBytesPerToken: Int { keyValueBytes { $0.window == nil } }
    /// KV cache bytes per token in sliding-window layers, which keep only the last `slidingWindow` positions.
    var slidingBytesPerToken: Int { keyValueBytes { $0.window != nil } }

    /// KV cache bytes of a sequence of `positions` tokens, with passes of up to 512 tokens.
    func keyValueBytes(positions: Int, _ type: KeyValueType) -> Int {
        KVCache.byteCount(configuration.textConfig.layerPlans, positions: positions, chunkLength: 512, type: type)
    }

    private func keyValueBytes(_ isCounted: (LayerPlan) -> Bool) -> Int {
        configuration.textConfig.layerPlans.reduce(0) { sum, plan in
            guard plan.ownsKeyValues, !plan.isBidirectional, isCounted(plan) else { return sum }
            return sum
                + keyValueType.byteCount(positions: 16, heads: plan.numKeyValueHeads, size: plan.headDimension) / 16
        }
    }
}
