import Foundation
import Gemma4
import Gemma4Kit
import Tensors
import Tokenization
import Weights

/// What can be said about a model from its files. Of a directory, only `config.json` must be there.
struct ModelSummary {
    let configuration: ModelConfiguration
    let table: TensorTable
    /// Nil where the directory holds no weights.
    let checkpoint: Checkpoint?
    /// Nil where the directory holds no `tokenizer.json`.
    let tokenizer: Tokenizer?
    /// Nil where the directory holds no `chat_template.jinja`, or the file no such text.
    let chatTemplate: ChatTemplate?
    /// SHA-256 of the template's text: of a directory, what `sha256sum chat_template.jinja` prints.
    let chatTemplateHash: String?

    /// The tasks for which a prompt was published; none of a model that writes.
    let tasks: [String]

    /// - Throws: `CheckpointError`, `TokenizerError` if a file that is there cannot be used.
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

    /// Parameters of each part that the model has, in the order of the table's parts.
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

    /// How many tensors are stored as each type, by its name.
    var elementTypes: [(name: String, tensors: Int)] {
        let names = (checkpoint?.entries.values).map { $0.map { "\($0.elementType)" } } ?? []
        return Dictionary(grouping: names, by: \.self).map { ($0.key, $0.value.count) }.sorted { $0.1 > $1.1 }
    }

    // MARK: Layers

    var slidingLayers: Int { configuration.textConfig.layerPlans.count { $0.window != nil } }
    var fullLayers: Int { configuration.textConfig.layerPlans.count - slidingLayers }

    /// How keys and values are stored unless `--kv-cache` says otherwise: in f16 where products are rounded, too.
    var keyValueType: KeyValueType {
        let query = "model.language_model.layers.0.self_attn.q_proj.weight"
        return checkpoint?.entries[query].map { $0.elementType.blockLength > 1 } == true ? .float16 : .float32
    }

    /// Bytes of keys and values that one token adds on layers that keep all.
    var fullBytesPerToken: Int { keyValueBytes { $0.window == nil } }
    /// The same on sliding layers, which keep the last `slidingWindow` only.
    var slidingBytesPerToken: Int { keyValueBytes { $0.window != nil } }

    /// Bytes of the keys and values of a whole sequence, while a pass brings up to 512 tokens.
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
