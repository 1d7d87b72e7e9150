# Included after the project() of llama-cpp-python. Its CMakeLists.txt sets LLAMA_BUILD_COMMON in the cache, whatever the
# command line says; a plain variable comes before it. The common library is for llama.cpp's own programs.
set(LLAMA_BUILD_COMMON OFF)
