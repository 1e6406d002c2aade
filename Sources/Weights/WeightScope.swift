import Tensors

/// Where weights come from: a checkpoint on disk, or numbers made up in memory to measure speed.
package protocol WeightSource: Sendable {
    /// For messages.
    var path: String { get }

    /// - Returns: the tensor where it lies, or nil if there is none of that name.
    /// - Throws: `CheckpointError` naming the tensor if it has another shape.
    func tensor(_ name: String, _ shape: Shape, on device: Device) throws(CheckpointError) -> Tensor?

    /// Tells how a tensor is going to be read; only speed depends on it.
    func advise(_ access: MappedFile.Access, _ name: String)

    /// The shape of a tensor, of those whose shape the model does not say; nil if there is none of that name.
    func shape(_ name: String) -> [Int]?
}

extension WeightSource {
    package func shape(_ name: String) -> [Int]? { nil }
}

/// A place in the tree of weights: `weights["self_attn"]["q_proj"].tensor("weight", [rows, columns])`.
package struct WeightScope: Sendable {
    package let device: Device
    private var activations = Activations.float32
    private let source: any WeightSource
    private let roundedTo: @Sendable (_ name: String) -> ElementType?
    private var path = ""  // empty, or ends with a dot

    /// The root of the tree.
    ///
    /// - Parameter roundedTo: the type to which a matrix in f32, bf16 or f16 is rounded as it is read; nil leaves it.
    package init(
        _ source: any WeightSource, on device: Device,
        roundedTo: @escaping @Sendable (_ name: String) -> ElementType? = { _ in nil }
    ) {
        self.source = source
        self.device = device
        self.roundedTo = roundedTo
    }

    /// The place `name` below this one; `name` may hold dots.
    package subscript(_ name: String) -> WeightScope {
        var scope = self
        scope.path += "\(name)."
        return scope
    }

    /// The same place, whose weights, and those below, are multiplied by `activations`; at the root it is f32.
    package func multiplied(by activations: Activations) -> WeightScope {
        var scope = self
        scope.activations = activations
        return scope
    }

    /// The place of one layer.
    package subscript(_ index: Int) -> WeightScope { self[String(index)] }

    /// The tensor `name` at this place, where it lies: no copy.
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

    /// The tensor `name` at this place, or nil if there is none.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it has another shape.
    package func tensorIfPresent(_ name: String, _ shape: Shape) throws(CheckpointError) -> Tensor? {
        try source.tensor(path + name, shape, on: device)
    }

    /// The matrix `name` at this place, ready to be multiplied by: rounded and packed if it is to be, and then the pages of
    /// its file are given back.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it is missing or has another shape.
    package func weight(_ name: String, _ shape: Shape) throws(CheckpointError) -> Weight {
        try weights(name, shape) { [$0] }[0]
    }

    /// The same for a tensor that holds several matrices, which `cut` names.
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

    /// The scales of the rows of integers: `weight_scale`, of an embedding that is the head too `embedding_scale`.
    private func rowScales(of name: String, rows: Int) throws(CheckpointError) -> Tensor {
        if let scales = try tensorIfPresent("embedding_scale", [rows, 1]) { return scales }
        return try tensor("\(name)_scale", [rows, 1])
    }

    /// Integers with the steps of their activations, which one that is no positive number, or absent, leaves as they are.
    private func integerWeight(_ integers: Tensor, rowScales: Tensor) throws(CheckpointError) -> Weight {
        func step(_ side: String) throws(CheckpointError) -> Float {
            let step = try tensorIfPresent("\(side)_activation_scale", [])?.toArray()[0] ?? 0
            return step.isFinite ? abs(step) : 0
        }
        let scales = IntegerScales(
            rowScales: rowScales, inputStep: try step("input"), outputStep: try step("output"))
        return Weight(integers, scales: scales, activations: activations)
    }

    /// A table of embeddings, `[rows, columns]`, where it lies, and the scales of its integers, `[rows, groups]`: each of so
    /// many equal stretches of a row has one. Nil if it holds no integers.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    package func table(_ rows: Int, _ columns: Int) throws(CheckpointError) -> (numbers: Tensor, scales: Tensor?) {
        let numbers = try tensor("weight", [rows, columns])
        guard numbers.elementType.isInteger else { return (numbers, nil) }
        let found = source.shape("\(path)embedding_scale")?.last ?? 1
        let groups = found > 0 && columns.isMultiple(of: found) ? found : 1
        return (numbers, try tensor("embedding_scale", [rows, groups]))
    }

    /// The step of integers, a single number.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if it is missing or no positive number.
    package func step(_ name: String) throws(CheckpointError) -> Float {
        let step = try tensor(name, []).toArray()[0]
        guard step > 0, step.isFinite else {
            throw CheckpointError(
                .notFinite, file: source.path, place: path + name, expected: "a positive number, the step of integers",
                found: "\(step)", remedy: "The file is damaged, or was converted wrongly: download it again.")
        }
        return step
    }

    /// Tells how the tensor `name` at this place is going to be read.
    package func advise(_ access: MappedFile.Access, _ name: String) { source.advise(access, path + name) }
}
