/* Runs a harness on files: for compilers that have no fuzzer. Without arguments, on stdin. */
#include "input.h"

#include <dirent.h>

#define MOST (1u << 20)

static uint8_t buffer[MOST];
static unsigned long inputs;

static void run(FILE *file)
{
    size_t size = fread(buffer, 1, MOST, file);
    uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees where it ends */
    MUST(exact != NULL);
    for (size_t i = 0; i < size; i++)
        exact[i] = buffer[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs++;
}

static void run_path(const char *path)
{
    char name[4096];
    FILE *file;
    DIR *folder = opendir(path);
    if (folder != NULL) {
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
            if (entry->d_name[0] != '.')
                run_path(name);
        }
        closedir(folder);
    } else if ((file = fopen(path, "rb")) != NULL) {
        fprintf(stderr, "input %s\n", path);
        run(file);
        fclose(file);
    } else {
        perror(path);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc == 1)
        run(stdin);
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("%lu inputs\n", inputs);
    return 0;
}
