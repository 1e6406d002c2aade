import Tensors

/// A source of weights: a checkpoint on disk, or synthetic weights in memory to measure speed.
package protocol WeightSource: Sendable {
    /// For messages.
    var path: String { get }

    /// - Returns: the tensor, mapped if possible, or nil if there is none of that name.
    /// - Throws: `CheckpointError` naming the tensor if it has another shape.
    func tensor(_ name: String, _ shape: Shape, on device: Device) throws(CheckpointError) -> Tensor?

    /// Advises how a tensor will be read; affects only speed.
    func advise(_ access: MappedFile.Access, _ name: String)

    /// The shape of a tensor whose shape the model does not determine; nil if there is none of that name.
    func shape(_ name: String) -> [Int]?
}

extension WeightSource {
    package func shape(_ name: String) -> [Int]? { nil }
}

/// A scope in the tree of weights: `weights["self_attn"]["q_proj"].tensor("weight", [rows, columns])`.
package struct WeightScope: Sendable {
    package let device: Device
    private var activations = Activations.float32
    private let source: any WeightSource
    private let roundedTo: @Sendable (_ name: String) -> ElementType?
    private var path = ""  // empty, or ends with a dot

    /// The root of the tree.
    ///
    /// - Parameter roundedTo: the type to which a matrix in f32, bf16 or f16 is quantized as it is loaded; nil
    ///   keeps the stored type.
    package init(
        _ source: any WeightSource, on device: Device,
        roundedTo: @escaping @Sendable (_ name: String) -> ElementType? = { _ in nil }
    ) {
        self.source = source
        self.device = device
        self.roundedTo = roundedTo
    }

    /// The scope `name` below this one; `name` may contain dots.
    package subscript(_ name: String) -> WeightScope {
        var scope = self
        scope.path += "\(name)."
        return scope
    }

    /// The same scope, whose weights, including those below it, are multiplied by `activations`; the root's are f32.
    package func multiplied(by activations: Activations) -> WeightScope {
        var scope = self
        scope.activations = activations
        return scope
    }

    /// The scope of one layer.
    package subscript(_ index: Int) -> WeightScope { self[String(index)] }

    /// The tensor `name` in this scope, without a copy if its bytes can be mapped as stored.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it is missing or has another shape.
    package func tensor(_ name: String, _ shape: Shape) throws(CheckpointError) -> Tensor {
        guard let tensor = try tensorIfPresent(name, shape) else {
            throw CheckpointError(
                .tensorMismatch, file: source.path, found: "a tensor is missing",
                mismatches: [.missing(path + name, expected: shape)])
        }
        return tensor
    }

    /// The tensor `name` in this scope, or nil if there is none.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it has another shape.
    package func tensorIfPresent(_ name: String, _ shape: Shape) throws(CheckpointError) -> Tensor? {
        try source.tensor(path + name, shape, on: device)
    }

    /// The matrix `name` in this scope as a `Weight`: quantized and packed if configured; the pages of its file are
    /// then released.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it is missing or has another shape.
    package func weight(_ name: String, _ shape: Shape) throws(CheckpointError) -> Weight {
        try weights(name, shape) { [$0] }[0]
    }

    /// The same for a tensor that holds several matrices, which `cut` slices.
    package func weights(
        _ name: String, _ shape: Shape, cut: (Tensor) -> [Tensor]
    ) throws(CheckpointError) -> [Weight] {
        let type = roundedTo(path + name)
        let stored = try tensor(name, shape)
        var weights: [Weight] = []
        if stored.elementType.isInteger {
            for (integers, scales) in zip(cut(stored), cut(try rowScales(of: name, rows: shape[0]))) {
                weights.append(try integerWeight(integers, rowScales: scales))
            }
        } else {
            weights = cut(stored).map { Weight($0, activations: activations, roundedTo: type) }
        }
        if weights.contains(where: \.isCopied) { advise(.done, name) }
        return weights
    }

    /// The row scales of integers: `weight_scale`, or `embedding_scale` if the matrix is an embedding (and the tied
    /// head).
    private func rowScales(of name: String, rows: Int) throws(CheckpointError) -> Tensor {
        if let scales = try tensorIfPresent("embedding_scale", [rows, 1]) { return scales }
        return try tensor("\(name)_scale", [rows, 1])
    }

    /// Integers with the steps of their activations; a step that is absent or non-finite leaves them unquantized.
    private func integerWeight(_ integers: Tensor, rowScales: Tensor) throws(CheckpointError) -> Weight {
        func step(_ side: String) throws(CheckpointError) -> Float {
            let step = try tensorIfPresent("\(side)_activation_scale", [])?.toArray()[0] ?? 0
            return step.isFinite ? abs(step) : 0
        }
        let scales = IntegerScales(
            rowScales: rowScales, inputStep: try step("input"), outputStep: try step("output"))
        return Weight(integers, scales: scales, activations: activations)
    }

    /// An embedding table, `[rows, columns]`, mapped, and the scales of its integers, `[rows, groups]`: one for each
    /// of `groups` equal groups of a row. The scales are nil if the table does not hold integers.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    package func table(_ rows: Int, _ columns: Int) throws(CheckpointError) -> (numbers: Tensor, scales: Tensor?) {
        let numbers = try tensor("weight", [rows, columns])
        guard numbers.elementType.isInteger else { return (numbers, nil) }
        let found = source.shape("\(path)embedding_scale")?.last ?? 1
        let groups = found > 0 && columns.isMultiple(of: found) ? found : 1
        return (numbers, try tensor("embedding_scale", [rows, groups]))
    }

    /// The quantization step of integers, a scalar.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it is missing or not a positive finite number.
    package func step(_ name: String) throws(CheckpointError) -> Float {
        let step = try tensor(name, []).toArray()[0]
        guard step > 0, step.isFinite else {
            throw CheckpointError(
                .notFinite, file: source.path, place: path + name, expected: "a positive number, the step of integers",
                found: "\(step)", remedy: "The file is damaged, or was converted wrongly: download it again.")
        }
        return step
    }

    /// Advises how the tensor `name` in this scope will be read.
    package func advise(_ access: MappedFile.Access, _ name: String) { source.advise(access, path + name) }
}
