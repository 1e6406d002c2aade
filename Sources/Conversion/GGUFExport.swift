import Gemma4
import Tensors
import Tokenization
import Weights

/// Exports a published checkpoint directory to the GGUF files that llama.cpp reads: the text model with its vocabulary,
/// and the towers.
///
/// Source: llama.cpp, `conversion/gemma.py`.
package struct GGUFExport: Sendable {
    package enum File: Sendable, CaseIterable { case text, projector }

    /// One tensor to be written.
    package struct Item: Sendable {
        /// Its published name, shape and part.
        package let row: TensorTable.Row
        package let storedName: String
        package let layout: TensorLayout
    }

    package let configuration: ModelConfiguration
    private let checkpoint: Checkpoint
    private let vocabulary: TokenizerMetadata
    private let chatTemplate: String?
    private let suppressTokens: [Int]

    /// - Parameters:
    ///   - chatTemplate: the template's source; nil writes none.
    ///   - suppressTokens: ids that are never sampled.
    /// - Throws: `CheckpointError` if the weights have a type that GGUF lacks.
    package init(
        _ configuration: ModelConfiguration, _ checkpoint: Checkpoint, _ vocabulary: TokenizerMetadata,
        chatTemplate: String?, suppressTokens: [Int]
    ) throws(CheckpointError) {
        if let entry = checkpoint.entries.values.filter(\.elementType.isInteger).min(by: {
            $0.storedName < $1.storedName
        }) {
            throw CheckpointError(
                .unsupportedModel, file: checkpoint.path, place: entry.storedName, expected: "f32, f16 or bf16",
                found: "integers with a scale a row, for which GGUF has no type",
                remedy: "Give the directory as the model: it is as small as any file of it would be.")
        }
        (self.configuration, self.checkpoint, self.vocabulary) = (configuration, checkpoint, vocabulary)
        (self.chatTemplate, self.suppressTokens) = (chatTemplate, suppressTokens)
    }

    package var files: [File] { GGUFMetadata.projector(configuration) == nil ? [.text] : [.text, .projector] }

    /// The tensors of a file that the checkpoint holds and the model uses, in the order of the table.
    package func items(_ file: File) -> [Item] {
        TensorTable(configuration).rows.compactMap { row in
            guard row.part != .leftover, checkpoint.entries[row.name] != nil, let stored = GGUFNames.stored(row.name),
                stored.name.hasPrefix("v.") || stored.name.hasPrefix("a.") || stored.name.hasPrefix("mm.")
                    ? file == .projector : file == .text
            else { return nil }
            return Item(row: row, storedName: stored.name, layout: stored.layout)
        }
    }

    /// Writes one file atomically: it appears when it is complete.
    ///
    /// - Parameters:
    ///   - types: element types of the matrices. Tensors that the format stores in another layout are f32 in any case.
    ///   - report: called with the fraction that is written, 0 to 1.
    /// - Throws: `CheckpointError` if a weight is not finite, or the file cannot be written.
    @discardableResult
    package func write(
        _ file: File, to path: String, types: WeightTypes, report: (Double) -> Void = { _ in }
    ) throws -> GridShare {
        let items = items(file)
        let elementTypes = items.map { item in
            Self.isAlwaysFloat32(item)
                ? .float32 : types.type(of: item.row) ?? checkpoint.entries[item.row.name]!.elementType
        }
        var descriptions = zip(items, elementTypes).map {
            GGUFWriter.Description($0.storedName, $1, $0.layout.stored($0.row.shape))
        }
        let factors = file == .text ? GGUFMetadata.rotaryFactors(configuration) : []
        if !factors.isEmpty {
            descriptions.append(GGUFWriter.Description(GGUFNames.rotaryFactors, .float32, [factors.count]))
        }
        var writer = try GGUFWriter(
            path, metadata: metadata(file) + [("general.file_type", .uint32(types.fileType))], tensors: descriptions)
        let device = Device()
        let total = Double(max(1, items.reduce(0) { $0 + $1.row.shape.count }))
        var written = 0
        var share = GridShare()
        for (item, type) in zip(items, elementTypes) {
            guard let tensor = try checkpoint.tensor(item.row.name, item.row.shape, on: device) else { continue }
            defer { checkpoint.advise(.done, item.row.name) }
            if tensor.elementType == type, item.layout.keepsNumbers {
                if try checkpoint.withStoredBytes(item.row.name, { try writer.append($0) }) == nil {
                    try tensor.withBytes { try writer.append($0) }
                }
            } else {
                let rowsAtOnce = item.layout.keepsNumbers ? max(1, (1 << 22) / max(1, tensor.columns)) : tensor.rows
                let matrix = tensor.reshaped([tensor.rows, tensor.columns])
                for first in stride(from: 0, to: tensor.rows, by: rowsAtOnce) {
                    let part = matrix[first..<min(tensor.rows, first + rowsAtOnce)].toArray()
                    guard type.blockLength == 1 || part.allSatisfy(\.isFinite) else {
                        throw checkpoint.firstNotFinite() ?? ModelInputError(.notFinite) as any Error
                    }
                    let stored = item.layout.stored(part, item.row.shape)
                    if type == .q4_0 { share.add(stored) }
                    let bytes = BlockQuantizer.encode(stored, as: type, on: device.threads)
                    try bytes.withUnsafeBytes { try writer.append($0) }
                    report(Double(written + first * tensor.columns) / total)
                }
            }
            written += tensor.shape.count
            report(Double(written) / total)
        }
        if !factors.isEmpty { try factors.withUnsafeBytes { try writer.append($0) } }
        try writer.finish()
        return share
    }

    private static func isAlwaysFloat32(_ item: Item) -> Bool {
        item.row.shape.rank < 2 || !item.layout.keepsNumbers || item.layout == .depthwise
            || item.row.part == .router || item.storedName.hasPrefix("a.conv1d.")
            || ["v.position_embd.weight", "a.input_projection.weight"].contains(item.storedName)
    }

    private func metadata(_ file: File) -> [GGUFMetadata.Entry] {
        guard file == .text else { return GGUFMetadata.projector(configuration) ?? [] }
        var entries = GGUFMetadata.text(configuration)
        func add(_ key: String, _ value: GGUFValue) { entries.append(("tokenizer.\(key)", value)) }
        add("ggml.model", .string("gemma4"))
        add("ggml.tokens", .array(GGUFArray(strings: vocabulary.pieces)))
        add("ggml.scores", .array(GGUFArray(.float32, vocabulary.types.map { _ in .float32(-1000) })))
        add("ggml.token_type", .array(GGUFArray(vocabulary.types.map { Int32($0) })))
        add("ggml.merges", .array(GGUFArray(strings: vocabulary.merges)))
        let tokens = try? vocabulary.specialTokens()
        for (key, token) in [
            ("bos", "<bos>"), ("eos", "<eos>"), ("unknown", "<unk>"), ("padding", "<pad>"), ("mask", "<mask>"),
        ] {
            if let id = tokens?[token] { add("ggml.\(key)_token_id", .uint32(UInt32(id))) }
        }
        add("ggml.add_bos_token", .bool(true))
        add("ggml.add_space_prefix", .bool(false))
        if !suppressTokens.isEmpty {
            entries.append((GGUFMetadata.suppressTokens, .array(GGUFArray(suppressTokens.map { Int32($0) }))))
        }
        if let chatTemplate { add("chat_template", .string(chatTemplate)) }
        return entries
    }
}

/// The fraction of the q4_0 weights that were trained for a 4-bit grid, which q4_0 stores exactly.
package struct GridShare: Sendable {
    package private(set) var blocks = 0
    package private(set) var onGrid = 0

    package init() {}

    package static func + (a: GridShare, b: GridShare) -> GridShare {
        var sum = a
        sum.blocks += b.blocks
        sum.onGrid += b.onGrid
        return sum
    }

    fileprivate mutating func add(_ values: [Float]) {
        blocks += values.count / 32
        onGrid += BlockQuantizer.blocksOnGrid(values)
    }
}

extension WeightTypes {
    /// `general.file_type`: llama.cpp's code for the type of most weights.
    fileprivate var fileType: UInt32 {
        switch layers {
        case .float32: 0
        case .float16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 7
        case .q5_0: 8
        case .q5_1: 9
        case .q2_K: 10
        case .q3_K: 11
        case .q4_K: 14
        case .q5_K: 16
        case .q6_K: 18
        case .iq4_nl: 25
        case .iq4_xs: 30
        case .iq2_xxs: 19
        case .iq2_xs: 20
        case .iq3_xxs: 23
        case .iq3_s: 26
        case .iq2_s: 28
        case .mxfp4: 38
        // GGUF has no type for integers with a scale per row; they are not exported.
        case .bfloat16, .int2, .int4, .int8, nil: 32
        }
    }
}
