import Tensors
import Weights

/// Every tensor that the graph of a configuration uses: its name, its shape, the part it belongs to.
package struct TensorTable: Sendable {
    /// The part of the model that a tensor belongs to.
    package enum Part: String, Sendable, Hashable, CaseIterable {
        case embedding, perLayerTable, perLayerProjection, attention, feedForward, experts, router, norms, head
        case vision, audio
        /// Scalars that bound the clipped linears of the towers.
        case clipBounds
        /// Stored, but unused.
        case leftover

        /// Whether it belongs to the decoder.
        var isText: Bool { ![.vision, .audio, .clipBounds, .leftover].contains(self) }
    }

    package struct Row: Sendable, Hashable {
        /// As published in safetensors files.
        package let name: String
        package let shape: Shape
        package let part: Part
        /// Whether absence is an error. Leftovers and clip bounds may be absent; an absent bound is ∓∞.
        package var isRequired: Bool { part != .leftover && part != .clipBounds }
    }

    package private(set) var rows: [Row] = []
    private let isTied: Bool
    let quantization: QuantizationConfiguration?
    private var activeShareOfExperts: (active: Int, all: Int) = (1, 1)

    package init(_ configuration: ModelConfiguration) {
        isTied = configuration.tieWordEmbeddings
        quantization = configuration.quantization
        appendText(configuration)
        if let vision = configuration.visionConfig { appendVision(vision, into: configuration.textConfig.hiddenSize) }
        if let audio = configuration.audioConfig { appendAudio(audio, into: configuration.textConfig.hiddenSize) }
        appendUnified(configuration)
        if let experts = configuration.textConfig.experts {
            activeShareOfExperts = (experts.topKExperts, experts.numExperts)
        }
    }

    // MARK: Counting

    package func parameterCount(_ part: Part) -> Int {
        rows.reduce(0) { $0 + ($1.part == part ? $1.shape.count : 0) }
    }

    /// Parameters of the decoder, without leftovers.
    package var textParameterCount: Int { Part.allCases.filter(\.isText).reduce(0) { $0 + parameterCount($1) } }

    /// Parameters of the decoder that are active for one token: of the experts, only the chosen ones.
    package var activeParameterCount: Int {
        let experts = parameterCount(.experts)
        return textParameterCount - experts + experts / activeShareOfExperts.all * activeShareOfExperts.active
    }

    /// All parameters of a published checkpoint except the clip bounds: the count on the model's card.
    package var publishedParameterCount: Int {
        rows.reduce(0) { $0 + ($1.part == .clipBounds ? 0 : $1.shape.count) }
    }

    // MARK: Checking a checkpoint

    /// Compares names and shapes of a checkpoint with this table.
    ///
    /// Leftovers may be present or absent, and so may `lm_head.weight` of a tied model: some re-saved files hold this
    /// copy of the embedding.
    ///
    /// - Throws: one `CheckpointError` that lists every missing, superfluous and misshapen tensor by its name in
    ///   the files.
    package func check(_ checkpoint: Checkpoint, as format: CheckpointFormat = .directory) throws(CheckpointError) {
        var mismatches: [TensorMismatch] = []
        for row in rows {
            if let entry = checkpoint.entries[row.name] {
                if entry.shape != row.shape.dimensions {
                    mismatches.append(.misshapen(format.storedName(row.name), expected: row.shape, found: entry.shape))
                }
            } else if row.isRequired {
                mismatches.append(.missing(format.storedName(row.name), expected: row.shape))
            }
        }
        var known = Set(rows.map(\.name))
        if case .gemma = quantization { mismatches += checkScales(checkpoint, &known) }
        if isTied { known.insert("lm_head.weight") }
        for (name, entry) in checkpoint.entries where !known.contains(name) {
            mismatches.append(.superfluous(format.storedName(name), found: entry.shape))
        }
        if format == .directory, let tensor = mismatches.first(where: ForeignCheckpoint.isChannelsLast) {
            throw CheckpointError(
                .unsupportedModel, file: checkpoint.path, place: tensor.name, expected: "weights as published",
                found: "those of MLX, whose convolutions have their channels last",
                remedy: "Download the model of the same name from google, or a GGUF file of it.")
        }
        guard mismatches.isEmpty else { throw Self.error(mismatches, in: checkpoint.path, format) }
    }

    /// Checks the scales of integers, the steps of activations, and the steps of cached keys and values. All steps
    /// may be absent.
    private func checkScales(_ checkpoint: Checkpoint, _ known: inout Set<String>) -> [TensorMismatch] {
        var mismatches: [TensorMismatch] = []
        func check(_ name: String, _ shape: Shape, isRequired: Bool = false) {
            known.insert(name)
            if let found = checkpoint.entries[name]?.shape {
                if found != shape.dimensions { mismatches.append(.misshapen(name, expected: shape, found: found)) }
            } else if isRequired {
                mismatches.append(.missing(name, expected: shape))
            }
        }
        for row in rows where row.name.hasSuffix(".weight") && row.shape.rank == 2 {
            let module = String(row.name.dropLast(".weight".count))
            let isInteger = checkpoint.entries[row.name]?.elementType.isInteger == true
            if row.part == .embedding || row.part == .perLayerTable {
                let name = "\(module).embedding_scale"
                let groups = checkpoint.entries[name]?.shape.last ?? 1
                let isWhole = groups > 0 && row.shape.columns.isMultiple(of: groups)
                check(name, [row.shape.rows, isWhole ? groups : 1], isRequired: isInteger)
                continue
            }
            check("\(module).weight_scale", [row.shape.rows, 1], isRequired: isInteger)
            for side in ["input", "output"] { check("\(module).\(side)_activation_scale", []) }
            if module.hasSuffix(".self_attn.q_proj") {
                for side in ["k", "v"] { check("\(module.dropLast("q_proj".count))\(side)_cache_scale", []) }
            }
        }
        return mismatches
    }

    private static func error(
        _ mismatches: [TensorMismatch], in path: String, _ format: CheckpointFormat
    ) -> CheckpointError {
        var counts = (missing: 0, superfluous: 0, misshapen: 0)
        for mismatch in mismatches {
            switch mismatch {
            case .missing: counts.missing += 1
            case .superfluous: counts.superfluous += 1
            case .misshapen: counts.misshapen += 1
            }
        }
        return CheckpointError(
            .tensorMismatch, file: path, expected: "the tensors that \(format.description) describes",
            found: "\(counts.missing) missing, \(counts.superfluous) superfluous, \(counts.misshapen) of another shape",
            remedy: format.remedy,
            mismatches: mismatches.sorted { $0.name < $1.name })
    }

    // MARK: Building

    mutating func append(_ name: String, _ shape: Shape, _ part: Part) {
        rows.append(Row(name: name, shape: shape, part: part))
    }

    /// A linear layer whose input and output are clamped to stored bounds.
    mutating func appendClipped(_ name: String, _ shape: Shape, _ part: Part, clipped: Bool) {
        append("\(name).linear.weight", shape, part)
        guard clipped else { return }
        for bound in ["input_min", "input_max", "output_min", "output_max"] {
            append("\(name).\(bound)", [], .clipBounds)
        }
    }
}
