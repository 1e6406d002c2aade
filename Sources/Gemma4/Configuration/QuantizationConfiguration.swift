import JSONText
import Tensors
import Weights

/// `quantization_config`: how a directory stores quantization-aware trained weights.
package enum QuantizationConfiguration: Sendable, Hashable {
    /// `quant_method` "gemma": integers of 2, 4 and 8 bits with a scale per row, and activations with static
    /// quantization steps.
    case gemma(GemmaQuantization)
    /// `quant_method` "compressed-tensors", "pack-quantized": integers of 4 bits with a scale per group of 32.
    case packedGroups

    /// Nil if the key is absent, or has another `quant_method`.
    ///
    /// - Throws: `CheckpointError` if it is one of these methods with unsupported settings.
    init?(_ root: ConfigurationObject) throws(CheckpointError) {
        guard let object = try root.objectIfPresent("quantization_config") else { return nil }
        switch try object.stringIfPresent("quant_method") {
        case "gemma": self = .gemma(try GemmaQuantization(object))
        case "compressed-tensors" where try object.stringIfPresent("format") == "pack-quantized":
            try Self.checkGroups(object)
            self = .packedGroups
        default: return nil
        }
    }

    private static func checkGroups(_ object: ConfigurationObject) throws(CheckpointError) {
        let groups = try object.object("config_groups")
        for name in groups.keys {
            let weights = try groups.object(name).object("weights")
            let expected: [(key: String, value: JSONValue)] = [
                ("num_bits", .integer(4)), ("type", .string("int")), ("symmetric", .boolean(true)),
                ("strategy", .string("group")), ("group_size", .integer(32)),
            ]
            for (key, value) in expected where weights.value(key) != value {
                throw weights.invalid(
                    key, expected: "\(value.json), the only kind that is read", found: weights.value(key) ?? .null)
            }
        }
    }

    /// The stored type of a tensor; nil for tensors that are not quantized.
    package func storedType(of row: TensorTable.Row) -> ElementType? {
        guard row.name.hasSuffix(".weight"), row.shape.rank == 2 else { return nil }
        switch self {
        case .packedGroups: return nil
        case .gemma(let quantization):
            let module = String(row.name.dropLast(".weight".count))
            let isEmbedding = row.part == .embedding || row.part == .perLayerTable
            guard quantization.converts(module), !isEmbedding || quantization.quantizesEmbeddings else { return nil }
            return .integers(bits: quantization.bits(of: module))
        }
    }

    /// How to interpret the integer tensors of the directory.
    var tensors: QuantizedTensors {
        switch self {
        case .gemma(let quantization): .integers { quantization.bits(of: $0) }
        case .packedGroups: .packedGroups
        }
    }
}

/// The bit widths of the quantized modules.
///
/// Source: transformers, `integrations/gemma_quant.py`, `replace_with_quant_layers`, and
/// `quantizers/quantizers_utils.py`, `should_convert_module`.
package struct GemmaQuantization: Sendable, Hashable {
    private let source: JSONValue
    package let quantizesEmbeddings: Bool
    private let defaultBits: Int
    private let patterns: [(pattern: ModulePattern, bits: Int)]
    private let unconverted: [(pattern: ModulePattern?, name: String)]

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        func bits(_ object: ConfigurationObject, absent: Int) throws(CheckpointError) -> Int {
            let bits = try object.integerIfPresent("num_bits") ?? absent
            guard [2, 4, 8].contains(bits) else {
                throw object.invalid("num_bits", expected: "2, 4 or 8", found: "\(bits)")
            }
            return bits
        }
        source = .object(object.keys.map { JSONValue.Member($0, object.value($0) ?? .null) })
        defaultBits = try bits(object, absent: 4)
        quantizesEmbeddings = try object.flag("quantize_embeddings", default: false)
        var patterns: [(pattern: ModulePattern, bits: Int)] = []
        if let modules = try object.objectIfPresent("module_quant_configs") {
            for key in modules.keys {
                guard let pattern = ModulePattern(key) else {
                    throw modules.invalid(
                        key, expected: "a regular expression of Python without look-behind and references",
                        found: "\"\(key)\"")
                }
                patterns.append((pattern, try bits(modules.object(key), absent: defaultBits)))
            }
        }
        self.patterns = patterns
        let names =
            object.value("modules_to_not_convert") == nil
            ? [] : try object.array("modules_to_not_convert") { $0.string }
        unconverted = names.map { (ModulePattern("(?:\($0))(?:\\.|$)"), $0) }
    }

    /// The bit width of a quantized module: that of the pattern whose match starts first (of several, the first in
    /// the file), or the default.
    func bits(of module: String) -> Int {
        let matches = patterns.compactMap { entry in
            entry.pattern.firstMatch(in: module).map { (start: $0, bits: entry.bits) }
        }
        return matches.min { $0.start < $1.start }?.bits ?? defaultBits
    }

    /// Whether a linear layer, or with `quantizesEmbeddings` an embedding, is quantized: not if an excluded pattern
    /// matches its whole name or that of an enclosing module, or an excluded name is a suffix of its name.
    package func converts(_ module: String) -> Bool {
        !unconverted.contains { pattern, name in module.hasSuffix(name) || pattern?.firstMatch(in: module) == 0 }
    }

    package static func == (a: Self, b: Self) -> Bool { a.source == b.source }

    package func hash(into hasher: inout Hasher) { hasher.combine(source) }
}
