import CKernels

/// The kernels of one instruction set, which `Tensor` and `Weight` call with checked shapes.
///
/// `@unchecked Sendable`: the C table is constant.
package struct KernelSet: @unchecked Sendable, CustomStringConvertible {
    let table: kernel_set

    /// The sets that this CPU supports, fastest first; the last is scalar, the reference.
    package static let available: [KernelSet] = {
        var count = 0
        let sets = kernel_sets(&count)!
        return (0..<count).map { KernelSet(table: sets[$0]!.pointee) }
    }()

    package static var best: KernelSet { available[0] }

    /// "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "neon-dotprod", "neon-i8mm".
    package var name: String { String(cString: table.isa) }
    package var description: String { name }
}
